"""The OAuth 2 endpoints: codes with PKCE, client credentials, refresh tokens, revocation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts.models import AuditEvent, Client, ClientKind, Login, User
from automart.accounts.service import create_application
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.oauth.models import AuthorizationCode
from tests.oauth.pages import (
    CALLBACK,
    VERIFIER,
    authorize_url,
    code_for,
    exchange,
    hidden_fields,
    log_in,
    me,
    refresh,
    sent_back,
)
from tests.support.people import PASSWORD
from tests.support.setup import application


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    return make_user(email="ann@example.com")


@pytest.fixture
def front(app: Flask) -> str:
    """Return the client id of an application."""
    with transaction():
        return create_application("Front end", [CALLBACK]).id


@pytest.fixture
def browser(app: Flask, ann: User) -> FlaskClient:
    """Return a browser in which Ann is logged in."""
    browser = app.test_client()
    assert log_in(browser, ann.email).status_code == 303
    return browser


@pytest.fixture
def tokens(client: FlaskClient, browser: FlaskClient, front: str) -> dict[str, Any]:
    """Return the tokens that the application got for a code."""
    response = exchange(client, front, code_for(browser, front))
    assert response.status_code == 200
    found: dict[str, Any] = response.get_json()
    return found


def error_of(response: Any, status: int = 400) -> str:
    """Return the error of a response in the format of RFC 6749 §5.2."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/json"
    error: str = response.get_json()["error"]
    return error


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
        ],
    )
    def test_authorization_errors_are_sent_to_the_application(
        self, browser: FlaskClient, front: str, changes: dict[str, str | None], error: str
    ) -> None:
        error_parameters = sent_back(browser.get(authorize_url(front, **changes)))
        assert error_parameters["error"] == error
        assert error_parameters["state"] == "a state"
        assert error_parameters["iss"] == "http://localhost"

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
        self, client: FlaskClient, tokens: dict[str, Any]
    ) -> None:
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] == 900
        assert me(client, tokens["access_token"]) == 200

    def test_a_second_use_of_a_code_ends_the_login(
        self, client: FlaskClient, browser: FlaskClient, front: str
    ) -> None:
        code = code_for(browser, front)
        tokens = exchange(client, front, code).get_json()
        assert error_of(exchange(client, front, code)) == "invalid_grant"
        assert me(client, tokens["access_token"]) == 401
        assert error_of(refresh(client, tokens["refresh_token"], client_id=front)) == (
            "invalid_grant"
        )

    def test_an_expired_code_is_refused(
        self, client: FlaskClient, browser: FlaskClient, front: str
    ) -> None:
        code = code_for(browser, front)
        row = db.session.query(AuthorizationCode).one()
        logged_in_at = db.session.query(AuditEvent.at).limit(1).scalar()
        assert row.expires_at - logged_in_at <= timedelta(minutes=10)
        with transaction():
            row.expires_at = db.session.get_one(Client, front).created_at
        assert error_of(exchange(client, front, code)) == "invalid_grant"

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

    def test_a_code_of_a_deactivated_user_is_refused(
        self, client: FlaskClient, browser: FlaskClient, front: str, ann: User
    ) -> None:
        code = code_for(browser, front)
        with transaction():
            ann.is_active = False
        assert error_of(exchange(client, front, code)) == "invalid_grant"


class TestClientCredentials:
    FORM = {"grant_type": "client_credentials"}  # noqa: RUF012 - read only

    @pytest.fixture
    def service(self, make_client: Callable[..., Client]) -> tuple[str, str]:
        return make_client("catalogue", "metrics", secret="a secret").id, "a secret"

    def test_client_credentials_are_accepted_in_the_header_and_in_the_form(
        self, client: FlaskClient, service: tuple[str, str]
    ) -> None:
        by_form = {"client_id": service[0], "client_secret": service[1]}
        for response in (
            client.post("/oauth/token", data=self.FORM, auth=service),
            client.post("/oauth/token", data=self.FORM | by_form),
        ):
            tokens = response.get_json()
            assert tokens["scope"] == "catalogue metrics"
            assert "refresh_token" not in tokens
            assert response.headers["Cache-Control"] == "no-store"
            header = {"Authorization": f"Bearer {tokens['access_token']}"}
            assert client.get("/v1/makes", headers=header).status_code == 200

    def test_a_client_can_request_some_of_its_scopes(
        self, client: FlaskClient, service: tuple[str, str]
    ) -> None:
        form = self.FORM | {"scope": "metrics"}
        tokens = client.post("/oauth/token", data=form, auth=service).get_json()
        assert tokens["scope"] == "metrics"
        header = {"Authorization": f"Bearer {tokens['access_token']}"}
        made = client.post("/v1/makes", json={"id": 1, "name": "A"}, headers=header)
        assert made.status_code == 403

    def test_a_client_cannot_request_scopes_that_it_does_not_have(
        self, client: FlaskClient, service: tuple[str, str]
    ) -> None:
        form = self.FORM | {"scope": "catalogue office"}
        assert error_of(client.post("/oauth/token", data=form, auth=service)) == "invalid_scope"

    @pytest.mark.parametrize("secret", ["wrong", "", "ü", "\x00"])
    def test_a_wrong_secret_is_refused(
        self, client: FlaskClient, service: tuple[str, str], secret: str
    ) -> None:
        by_form = {"client_id": service[0], "client_secret": secret}
        for response in (
            client.post("/oauth/token", data=self.FORM, auth=(service[0], secret)),
            client.post("/oauth/token", data=self.FORM | by_form),
        ):
            assert error_of(response, 401) == "invalid_client"
            assert response.headers["WWW-Authenticate"].startswith("Basic")

    def test_an_unknown_client_gets_the_same_response_as_a_wrong_secret(
        self, client: FlaskClient, service: tuple[str, str]
    ) -> None:
        answers = {
            client.post("/oauth/token", data=self.FORM, auth=(name, "wrong")).data
            for name in (service[0], "unknown", "docs")
        }
        assert len(answers) == 1

    def test_an_application_cannot_use_client_credentials(
        self, client: FlaskClient, front: str
    ) -> None:
        response = client.post("/oauth/token", data=self.FORM | {"client_id": front})
        assert error_of(response) == "unauthorized_client"

    def test_a_service_client_cannot_use_refresh_tokens(
        self, client: FlaskClient, service: tuple[str, str]
    ) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": "x"}
        response = client.post("/oauth/token", data=form, auth=service)
        assert error_of(response) == "unauthorized_client"

    def test_a_secret_in_the_query_is_ignored(
        self, client: FlaskClient, service: tuple[str, str]
    ) -> None:
        query = {"client_id": service[0], "client_secret": service[1]}
        response = client.post("/oauth/token", data=self.FORM, query_string=query)
        assert error_of(response) == "unauthorized_client"


class TestTokenRequests:
    @pytest.mark.parametrize(
        ("form", "error"),
        [
            ({}, "invalid_request"),
            ({"grant_type": "password", "username": "a", "password": "b"}, None),
            ({"grant_type": "implicit"}, None),
            ({"grant_type": '"ü'}, "invalid_request"),
            ({"grant_type": ["refresh_token", "refresh_token"]}, "invalid_request"),
            ({"grant_type": "refresh_token"}, "invalid_request"),
            ({"grant_type": "authorization_code", "client_id": "docs"}, "invalid_request"),
        ],
    )
    def test_other_grants_and_malformed_requests_are_refused(
        self, client: FlaskClient, form: dict[str, Any], error: str | None
    ) -> None:
        response = client.post("/oauth/token", data=form)
        assert error_of(response) == (error or "unsupported_grant_type")

    def test_a_json_body_is_refused(self, client: FlaskClient) -> None:
        response = client.post("/oauth/token", json={"grant_type": "client_credentials"})
        assert error_of(response) == "invalid_request"

    @pytest.mark.parametrize("header", ["Basic", "Basic ÿ", "Basic /w==", "Basic YQ==", "Other x"])
    def test_a_malformed_authorization_header_is_an_unknown_client(
        self, client: FlaskClient, header: str
    ) -> None:
        form = {"grant_type": "client_credentials"}
        headers = {"Authorization": header}
        response = client.post("/oauth/token", data=form, headers=headers)
        assert error_of(response, 401) == "invalid_client"

    def test_http_errors_have_the_oauth_format(self, client: FlaskClient) -> None:
        assert error_of(client.get("/oauth/nothing"), 404) == "invalid_request"
        assert error_of(client.get("/oauth/token"), 405) == "invalid_request"
        large = client.post("/oauth/token", data={"grant_type": "a" * 2_000_000})
        assert error_of(large, 413) == "invalid_request"


class TestRefresh:
    def test_refresh_tokens_are_rotated(
        self, client: FlaskClient, front: str, tokens: dict[str, Any]
    ) -> None:
        second = refresh(client, tokens["refresh_token"], client_id=front).get_json()
        assert second["refresh_token"] != tokens["refresh_token"]
        third = refresh(client, second["refresh_token"], client_id=front).get_json()
        assert me(client, third["access_token"]) == 200

    def test_a_second_use_of_a_refresh_token_ends_the_login(
        self, client: FlaskClient, front: str, tokens: dict[str, Any], as_admin: FlaskClient
    ) -> None:
        second = refresh(client, tokens["refresh_token"], client_id=front).get_json()
        again = refresh(client, tokens["refresh_token"], client_id=front)
        assert error_of(again) == "invalid_grant"
        third = refresh(client, second["refresh_token"], client_id=front)
        assert error_of(third) == "invalid_grant"
        assert me(client, second["access_token"]) == 401
        events = as_admin.get("/v1/audit-events?kind=token_reused").get_json()["items"]
        assert len(events) == 1

    def test_refresh_tokens_of_the_json_login_need_no_client_id(
        self, client: FlaskClient, ann: User
    ) -> None:
        body = {"email": ann.email, "password": PASSWORD}
        first = client.post("/login", json=body).get_json()["refresh_token"]
        second = refresh(client, first).get_json()["refresh_token"]
        assert refresh(client, second, client_id="login").status_code == 200

    def test_a_refresh_token_is_bound_to_its_client(
        self, client: FlaskClient, front: str, tokens: dict[str, Any]
    ) -> None:
        for other in ("docs", "login"):
            stolen = refresh(client, tokens["refresh_token"], client_id=other)
            assert error_of(stolen) == "invalid_grant"
        assert refresh(client, tokens["refresh_token"], client_id=front).status_code == 200

    def test_a_refused_scope_does_not_use_up_the_refresh_token(
        self, client: FlaskClient, front: str, tokens: dict[str, Any]
    ) -> None:
        token = tokens["refresh_token"]
        refused = refresh(client, token, client_id=front, scope="catalogue")
        assert error_of(refused) == "invalid_scope"
        assert refresh(client, token, client_id=front).status_code == 200

    def test_a_login_ends_after_thirty_days_even_if_refreshed(
        self, client: FlaskClient, front: str, tokens: dict[str, Any]
    ) -> None:
        second = refresh(client, tokens["refresh_token"], client_id=front).get_json()
        logins = db.session.query(Login).filter_by(client_id=front).all()
        assert len(logins) == 1
        assert (logins[0].expires_at - logins[0].created_at).days == 30
        with transaction():
            logins[0].expires_at = logins[0].created_at
        over = refresh(client, second["refresh_token"], client_id=front)
        assert error_of(over) == "invalid_grant"


class TestRevocation:
    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    @pytest.mark.parametrize("hint", ["access_token", "refresh_token", None])
    def test_revocation_ends_the_login_of_the_token(
        self,
        client: FlaskClient,
        front: str,
        tokens: dict[str, Any],
        kind: str,
        hint: str | None,
    ) -> None:
        form = {"token": tokens[kind], "client_id": front}
        if hint:
            form["token_type_hint"] = hint
        assert client.post("/oauth/revoke", data=form).status_code == 200
        assert me(client, tokens["access_token"]) == 401
        late = refresh(client, tokens["refresh_token"], client_id=front)
        assert error_of(late) == "invalid_grant"

    def test_a_service_client_revokes_with_its_secret(
        self, client: FlaskClient, make_client: Callable[..., Client]
    ) -> None:
        service = (make_client("catalogue", secret="a secret").id, "a secret")
        form = {"grant_type": "client_credentials"}
        token = client.post("/oauth/token", data=form, auth=service).get_json()["access_token"]
        header = {"Authorization": f"Bearer {token}"}
        without = client.post("/oauth/revoke", data={"token": token, "client_id": service[0]})
        assert error_of(without, 401) == "invalid_client"
        assert client.get("/v1/makes", headers=header).status_code == 200
        assert client.post("/oauth/revoke", data={"token": token}, auth=service).status_code == 200
        assert client.get("/v1/makes", headers=header).status_code == 401

    def test_a_client_cannot_revoke_tokens_of_another(
        self, client: FlaskClient, front: str, tokens: dict[str, Any]
    ) -> None:
        form = {"token": tokens["refresh_token"], "client_id": "docs"}
        assert error_of(client.post("/oauth/revoke", data=form)) == "invalid_grant"
        assert me(client, tokens["access_token"]) == 200

    def test_revoking_tokens_of_the_json_login_needs_no_client_id(
        self, client: FlaskClient, ann: User
    ) -> None:
        body = {"email": ann.email, "password": PASSWORD}
        tokens = client.post("/login", json=body).get_json()
        form = {"token": tokens["refresh_token"]}
        assert client.post("/oauth/revoke", data=form).status_code == 200
        assert me(client, tokens["access_token"]) == 401

    def test_revoking_an_unknown_token_succeeds(self, client: FlaskClient) -> None:
        assert client.post("/oauth/revoke", data={"token": "guess"}).status_code == 200
        assert error_of(client.post("/oauth/revoke", data={})) == "invalid_request"


class TestDiscovery:
    def test_the_metadata_name_the_endpoints(self, client: FlaskClient) -> None:
        metadata = client.get("/.well-known/oauth-authorization-server").get_json()
        assert metadata["issuer"] == "http://localhost"
        assert metadata["token_endpoint"] == "http://localhost/oauth/token"
        assert metadata["code_challenge_methods_supported"] == ["S256"]
        assert "password" not in metadata["grant_types_supported"]

    def test_the_issuer_does_not_depend_on_the_prefix(self, client: FlaskClient) -> None:
        metadata = client.get("/api/.well-known/oauth-authorization-server").get_json()
        assert metadata["issuer"] == "http://localhost"
        assert metadata["token_endpoint"] == "http://localhost/api/oauth/token"

    def test_only_public_keys_are_published(self, client: FlaskClient) -> None:
        (key,) = client.get("/.well-known/jwks.json").get_json()["keys"]
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["alg"], key["use"]) == ("ES256", "sig")


def test_built_in_clients_are_applications(app: Flask) -> None:
    kinds = {client.id: client.kind for client in db.session.query(Client)}
    assert kinds == {"docs": ClientKind.APPLICATION, "login": ClientKind.APPLICATION}
    assert len(VERIFIER) >= 43
