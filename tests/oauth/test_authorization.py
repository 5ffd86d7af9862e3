"""The authorization endpoint and its codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, update

from automart.accounts.models import AuditEvent, Client, User
from automart.accounts.service import create_application
from automart.accounts.sessions import create_login, hash_token
from automart.core.config import Settings
from automart.core.db import db, get_for_share, table_of, transaction, utcnow
from automart.oauth import grants
from automart.oauth.grants import AuthorizationCodeGrant, IssuedCode
from automart.oauth.maintenance import expire_authorization_codes
from automart.oauth.models import AuthorizationCode
from tests.oauth.pages import (
    CALLBACK,
    audited,
    authorize_url,
    code_for,
    error_of,
    exchange,
    hidden_fields,
    log_in,
    me,
    refresh,
    sent_back,
)
from tests.support import people
from tests.support.databases import on_sqlite
from tests.support.people import PASSWORD
from tests.support.setup import application

OTHER_PASSWORD = "another long password"


class TestAuthorize:
    def test_authorization_redirects_to_the_login_page_and_back(
        self, client: FlaskClient, ann: User, front: str
    ) -> None:
        response = client.get(authorize_url(front))
        assert response.status_code == 302
        page = client.get(response.headers["Location"])
        assert "Front end" in page.get_data(as_text=True)
        response = log_in(client, ann.email, where=response.headers["Location"])
        response = client.get(response.headers["Location"])
        assert response.headers["Location"].startswith(CALLBACK)
        assert sent_back(response).keys() == {"code", "state", "iss"}
        assert sent_back(response)["state"] == "a state"
        assert sent_back(response)["iss"] == "http://localhost"

    def test_a_script_gets_no_code(self, browser: FlaskClient, front: str) -> None:
        for destination in ("empty", "iframe", "image", "script", "worker"):
            headers = {"Sec-Fetch-Dest": destination}
            response = browser.get(authorize_url(front), headers=headers)
            assert error_of(response) == "invalid_request"
            reason = "Must be opened in a window, not by a script."
            assert response.get_json()["error_description"] == reason
        response = browser.get(authorize_url(front), headers={"Sec-Fetch-Dest": "document"})
        assert "code" in sent_back(response)

    def test_authorization_parameters_can_be_posted(self, browser: FlaskClient, front: str) -> None:
        query = authorize_url(front).partition("?")[2]
        form = "application/x-www-form-urlencoded"
        response = browser.post("/oauth/authorize", data=query, content_type=form)
        assert "code" in sent_back(response)

    @pytest.mark.parametrize(
        "changes",
        [
            {"redirect_uri": "https://evil.example/callback"},
            {"redirect_uri": CALLBACK + "/more"},
            {"redirect_uri": None},
            {"redirect_uri": 'https://evil.example/"\\ü'},
            {"client_id": "unknown"},
            {"client_id": "\x00"},
            {"client_id": "login"},
            {"client_id": None},
        ],
    )
    def test_authorization_never_redirects_to_an_unregistered_uri(
        self, browser: FlaskClient, front: str, changes: dict[str, str | None]
    ) -> None:
        response = browser.get(authorize_url(**{"client_id": front} | changes))
        assert error_of(response) in ("invalid_request", "invalid_client")

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"code_challenge": None}, "invalid_request"),
            ({"code_challenge_method": None}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"code_challenge": "short"}, "invalid_request"),
            ({"scope": "catalogue"}, "invalid_scope"),
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": None}, "invalid_request"),
        ],
    )
    def test_authorization_errors_are_sent_to_the_application(
        self, browser: FlaskClient, front: str, changes: dict[str, str | None], error: str
    ) -> None:
        error_parameters = sent_back(browser.get(authorize_url(front, **changes)))
        assert error_parameters["error"] == error
        if list(changes.values()) in ([None], ["plain"]) and "response_type" not in changes:
            reason = "PKCE is required: code_challenge with the method S256."
            assert error_parameters["error_description"] == reason
        assert error_parameters["state"] == "a state"
        assert error_parameters["iss"] == "http://localhost"

    @pytest.mark.parametrize("response_type", ["token", "code token", "id_token", "<b>"])
    def test_the_description_of_a_wrong_response_type_names_the_right_one(
        self, browser: FlaskClient, front: str, response_type: str
    ) -> None:
        response = browser.get(authorize_url(front, response_type=response_type))
        error_parameters = sent_back(response)
        assert error_parameters["error"] == "unsupported_response_type"
        assert error_parameters["error_description"] == "The response type must be code."

    def test_a_repeated_parameter_is_refused(self, browser: FlaskClient, front: str) -> None:
        assert error_of(browser.get(authorize_url(front) + "&state=b")) == "invalid_request"

    def test_an_inactive_application_gets_no_code(self, browser: FlaskClient, front: str) -> None:
        with transaction():
            db.session.get_one(Client, front).is_active = False
        assert error_of(browser.get(authorize_url(front))) == "invalid_client"

    @pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
    def test_the_docs_page_can_log_in_at_every_loopback_address(
        self, settings: Settings, make_user: Callable[..., User], host: str
    ) -> None:
        user = make_user()
        own = f"http://{host}/docs/oauth2-redirect.html"
        with application(replace(settings, public_url="https://shop.example")) as app:
            browser = app.test_client()
            at_host = {"base_url": f"http://{host}"}
            page = browser.get("/login", **at_host).get_data(as_text=True)
            form = hidden_fields(page) | {"email": user.email, "password": PASSWORD}
            assert browser.post("/login", data=form, **at_host).status_code == 303
            back = browser.get(authorize_url("docs", redirect_uri=own), **at_host)
            code = sent_back(back)["code"]
            tokens = exchange(browser, "docs", code, redirect_uri=own).get_json()
            assert me(browser, tokens["access_token"]) == 200
            for foreign in (own.replace("8000", "9000"), own.replace("docs", "x", 1)):
                refused = browser.get(authorize_url("docs", redirect_uri=foreign), **at_host)
                assert error_of(refused) == "invalid_request"
            elsewhere = browser.get(authorize_url("docs", redirect_uri=own))
            assert "code" not in elsewhere.headers.get("Location", "")

    @pytest.mark.parametrize("prefix", ["", "/api"])
    def test_the_docs_page_can_log_in(
        self, client: FlaskClient, browser: FlaskClient, prefix: str
    ) -> None:
        page = client.get(f"{prefix}/docs").get_data(as_text=True)
        address = f"http://localhost{prefix}/docs/oauth2-redirect.html"
        assert 'oauth2RedirectUrl: absolute("docs/oauth2-redirect.html")' in page
        assert 'clientId: "docs"' in page
        with client.get(f"{prefix}/docs/oauth2-redirect.html") as response:
            assert response.status_code == 200
        document = client.get(f"{prefix}/openapi.json").get_json()
        flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["authorizationCode"]
        assert flow["authorizationUrl"] == f"{prefix}/oauth/authorize"
        response = browser.get(prefix + authorize_url("docs", redirect_uri=address))
        code = sent_back(response)["code"]
        tokens = exchange(client, "docs", code, redirect_uri=address).get_json()
        assert me(client, tokens["access_token"]) == 200


class TestCode:
    def test_a_code_can_be_exchanged_for_tokens_of_the_user(
        self, client: FlaskClient, tokens: dict[str, Any], ann: User, front: str
    ) -> None:
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] == 900
        assert me(client, tokens["access_token"]) == 200
        _page, exchanged = audited("login_succeeded")
        assert exchanged == (ann.caller_id, ann.caller_id, {"client_id": front})

    def test_a_second_use_of_a_code_ends_the_login(
        self, client: FlaskClient, browser: FlaskClient, front: str, ann: User
    ) -> None:
        code, other = code_for(browser, front), code_for(browser, front)
        tokens = exchange(client, front, code).get_json()
        assert error_of(exchange(client, front, code)) == "invalid_grant"
        assert me(client, tokens["access_token"]) == 401
        assert exchange(client, front, other).status_code == 200
        assert error_of(refresh(client, tokens["refresh_token"], client_id=front)) == (
            "invalid_grant"
        )
        assert audited("token_reused") == [(None, ann.caller_id, None)]
        assert error_of(exchange(client, front, code)) == "invalid_grant"
        assert len(audited("token_reused")) == 1

    def test_a_code_that_is_used_twice_at_once_ends_the_login(
        self,
        client: FlaskClient,
        browser: FlaskClient,
        front: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        code = code_for(browser, front)
        tokens = exchange(client, front, code).get_json()
        # The other request has read the code before it was used.
        monkeypatch.setattr(
            AuthorizationCodeGrant,
            "query_authorization_code",
            lambda *_: IssuedCode(db.session.get_one(AuthorizationCode, hash_token(code))),
        )
        assert error_of(exchange(client, front, code)) == "invalid_grant"
        assert me(client, tokens["access_token"]) == 401
        assert len(audited("token_reused")) == 1

    @on_sqlite
    def test_a_code_whose_client_changes_while_it_waits_for_its_locks_is_refused(
        self,
        client: FlaskClient,
        browser: FlaskClient,
        front: str,
        ann: User,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        client_row, code_row = table_of(Client), table_of(AuthorizationCode)
        own = client_row.c.id == front
        deactivated = update(client_row).where(own).values(is_active=False)
        for change in (deactivated, delete(code_row), delete(client_row).where(own)):
            with transaction():
                db.session.execute(update(client_row).where(own).values(is_active=True))
            locked: list[Any] = []

            def lock(model: Any, ident: Any, change: Any = change, locked: Any = locked) -> Any:
                if not locked:  # what another transaction did that had the lock
                    db.session.execute(change)
                locked.append((model, ident))
                return get_for_share(model, ident)

            code = code_for(browser, front)
            monkeypatch.setattr(grants, "get_for_share", lock)
            assert error_of(exchange(client, front, code)) == "invalid_grant"
            assert locked == [(Client, front), (User, ann.id)]

    def test_an_expired_code_is_refused(
        self,
        client: FlaskClient,
        browser: FlaskClient,
        front: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        code = code_for(browser, front)
        row = db.session.query(AuthorizationCode).one()
        logged_in_at = db.session.query(AuditEvent.at).limit(1).scalar()
        assert row.expires_at - logged_in_at <= timedelta(minutes=10)
        end = row.expires_at
        monkeypatch.setattr(grants, "utcnow", lambda: end)
        assert error_of(exchange(client, front, code)) == "invalid_grant"
        monkeypatch.setattr(grants, "utcnow", lambda: end - timedelta(microseconds=1))
        assert exchange(client, front, code).status_code == 200

    @pytest.mark.parametrize(
        "changes",
        [
            {"code_verifier": "b" * 43},
            {"code_verifier": ""},
            {"redirect_uri": "https://front.example/other"},
            {"redirect_uri": ""},
            {"client_id": "docs"},
            {"code": "guess"},
        ],
    )
    def test_a_code_is_bound_to_its_request(
        self, client: FlaskClient, browser: FlaskClient, front: str, changes: dict[str, str]
    ) -> None:
        form = {"client_id": front, "code": code_for(browser, front)} | changes
        response = exchange(client, **form)
        assert error_of(response) in ("invalid_grant", "invalid_request")

    def test_a_code_is_stored_as_a_hash(self, browser: FlaskClient, front: str) -> None:
        code = code_for(browser, front)
        assert code not in db.session.query(AuthorizationCode).one().code_hash

    def test_a_code_is_deleted_a_day_after_it_expired(
        self, browser: FlaskClient, front: str
    ) -> None:
        old, recent = (code_for(browser, front) for _ in range(2))
        with transaction():
            for code, age in ((old, timedelta(days=1)), (recent, timedelta(hours=23))):
                row = db.session.get_one(AuthorizationCode, hash_token(code))
                row.expires_at = utcnow() - age
        with transaction():
            assert expire_authorization_codes() == 1
        assert db.session.query(AuthorizationCode).one().code_hash == hash_token(recent)

    def test_a_code_of_a_deactivated_user_is_refused(
        self, client: FlaskClient, browser: FlaskClient, front: str, ann: User
    ) -> None:
        code = code_for(browser, front)
        with transaction():
            ann.is_active = False
        assert error_of(exchange(client, front, code)) == "invalid_grant"


class TestEndedSession:
    """What ends a session also ends the codes that could become a login."""

    @pytest.fixture
    def as_ann(self, app: Flask, ann: User, browser: FlaskClient) -> FlaskClient:
        return people.signed_in(app, ann)

    @pytest.mark.parametrize(
        ("method", "path", "change"),
        [
            ("DELETE", "/v1/users/me/sessions", None),
            ("PATCH", "/v1/users/me", {"current_password": PASSWORD, "password": OTHER_PASSWORD}),
        ],
    )
    def test_a_user_ends_it(
        self,
        client: FlaskClient,
        browser: FlaskClient,
        front: str,
        as_ann: FlaskClient,
        method: str,
        path: str,
        change: dict[str, str] | None,
    ) -> None:
        code = code_for(browser, front)
        assert as_ann.open(path, method=method, json=change).status_code in (200, 204)
        assert error_of(exchange(client, front, code)) == "invalid_grant"

    @pytest.mark.parametrize(
        "changes", [[{"password": OTHER_PASSWORD}], [{"is_active": False}, {"is_active": True}]]
    )
    def test_an_administrator_ends_it(
        self,
        client: FlaskClient,
        browser: FlaskClient,
        front: str,
        ann: User,
        as_admin: FlaskClient,
        changes: list[dict[str, Any]],
    ) -> None:
        code = code_for(browser, front)
        for change in changes:
            assert as_admin.patch(f"/v1/users/{ann.id}", json=change).status_code == 200
        assert error_of(exchange(client, front, code)) == "invalid_grant"

    def test_the_session_of_another_user_does_not_matter(
        self, client: FlaskClient, browser: FlaskClient, front: str, as_admin: FlaskClient
    ) -> None:
        other = people.make_user()
        code = code_for(browser, front)
        people.signed_in(client.application, other).delete("/v1/users/me/sessions")
        as_admin.patch(f"/v1/users/{other.id}", json={"is_active": False})
        assert exchange(client, front, code).status_code == 200

    def test_a_session_that_ended_before_does_not_matter(
        self, client: FlaskClient, browser: FlaskClient, front: str, as_ann: FlaskClient, ann: User
    ) -> None:
        with transaction():
            ended = create_login(ann)
            ended.ended_at = utcnow()
        code = code_for(browser, front)
        assert exchange(client, front, code).status_code == 200


def test_the_query_of_a_redirect_uri_is_kept_to_the_letter(browser: FlaskClient) -> None:
    uri = "https://app.example/back?state%C3%BC=%fe&b=a+b%20c&&c"
    with transaction():
        odd = create_application("Odd", [uri]).id
    asked = authorize_url(odd, redirect_uri=uri, state="\u00e9 &")
    location = browser.get(asked).headers["Location"]
    assert location.startswith(f"{uri}&code=")
    assert "&state=%C3%A9+%26&iss=" in location
    refused = browser.get(authorize_url(odd, redirect_uri=uri, code_challenge="x"))
    assert refused.headers["Location"].startswith(f"{uri}&error=invalid_request&")
