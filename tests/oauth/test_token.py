"""The token endpoint: client credentials, refresh tokens and malformed requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from automart.accounts.models import Client, Login, User
from automart.accounts.sessions import hash_token
from automart.core.db import db
from automart.oauth.grants import IssuedToken, RefreshTokenGrant
from automart.oauth.models import RefreshToken
from tests.oauth.pages import (
    audited,
    error_of,
    me,
    refresh,
)
from tests.support.databases import on_sqlite
from tests.support.people import PASSWORD, make_client, make_user


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
            for path in ("/v1/makes", "/metrics"):
                assert client.get(path, headers=header).status_code == 200
        machine = f"client:{service[0]}"
        assert audited("login_succeeded") == [(machine, machine, None)] * 2
        for login in db.session.query(Login).filter_by(client_id=service[0]):
            assert login.expires_at - login.created_at == timedelta(minutes=15)

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
        refused = client.post("/oauth/token", data=form, auth=service)
        assert error_of(refused) == "invalid_scope"
        assert refused.get_json()["error_description"] == "The client does not have this scope."

    @on_sqlite
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
            description = "The client is unknown, or its secret is wrong."
            assert response.get_json()["error_description"] == description
            assert response.headers["WWW-Authenticate"].startswith("Basic")

    def test_an_unknown_client_gets_the_same_response_as_a_wrong_secret(
        self, client: FlaskClient, service: tuple[str, str]
    ) -> None:
        answers = {
            client.post("/oauth/token", data=self.FORM, auth=(name, "wrong")).data
            for name in (service[0], "unknown", "docs")
        }
        assert len(answers) == 1
        subjects = [f"client:{service[0]}", None, "client:docs"]
        assert audited("login_failed") == [(None, subject, None) for subject in subjects]

    def test_an_application_cannot_use_client_credentials(
        self, client: FlaskClient, front: str
    ) -> None:
        response = client.post("/oauth/token", data=self.FORM | {"client_id": front})
        assert error_of(response) == "unauthorized_client"

    def test_an_application_that_sends_a_secret_is_refused(
        self, client: FlaskClient, front: str, tokens: dict[str, Any]
    ) -> None:
        token = tokens["refresh_token"]
        refused = refresh(client, token, client_id=front, client_secret="a secret")
        assert error_of(refused, 401) == "invalid_client"
        assert refresh(client, token, client_id=front).status_code == 200

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
    @on_sqlite
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
        if error is None:
            description = "The grant type is not supported."
            assert response.get_json()["error_description"] == description

    def test_a_json_body_is_refused(self, client: FlaskClient) -> None:
        response = client.post("/oauth/token", json={"grant_type": "client_credentials"})
        assert error_of(response) == "invalid_request"

    @on_sqlite
    @pytest.mark.parametrize("header", ["Basic", "Basic ÿ", "Basic /w==", "Basic YQ=="])
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

    def test_a_refresh_token_that_is_used_twice_at_once_ends_the_login(
        self,
        client: FlaskClient,
        front: str,
        tokens: dict[str, Any],
        ann: User,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        second = refresh(client, tokens["refresh_token"], client_id=front).get_json()
        token_hash = hash_token(tokens["refresh_token"])
        login = db.session.get_one(RefreshToken, token_hash).login_id
        # The other request has read the token before it was used.
        monkeypatch.setattr(
            RefreshTokenGrant,
            "authenticate_refresh_token",
            lambda *_: IssuedToken(db.session.get_one(Login, login), token_hash),
        )
        late = refresh(client, tokens["refresh_token"], client_id=front)
        assert error_of(late) == "invalid_grant"
        description = late.get_json()["error_description"]
        assert description == "The refresh token has already been used."
        assert me(client, second["access_token"]) == 401
        assert audited("token_reused") == [(None, ann.caller_id, None)]

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
        unknown = refresh(client, tokens["refresh_token"][1:], client_id=front)
        assert error_of(unknown) == "invalid_grant"
        second = refresh(client, tokens["refresh_token"], client_id=front).get_json()
        # Who has an old token of another client could end its login otherwise.
        used = refresh(client, tokens["refresh_token"], client_id="docs")
        assert error_of(used) == "invalid_grant"
        assert me(client, second["access_token"]) == 200

    def test_a_refused_scope_does_not_use_up_the_refresh_token(
        self, client: FlaskClient, front: str, tokens: dict[str, Any]
    ) -> None:
        token = tokens["refresh_token"]
        refused = refresh(client, token, client_id=front, scope="catalogue")
        assert error_of(refused) == "invalid_scope"
        assert refresh(client, token, client_id=front).status_code == 200

    def test_a_login_ends_after_thirty_days_even_if_refreshed(
        self,
        client: FlaskClient,
        front: str,
        tokens: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (login,) = db.session.query(Login).filter_by(client_id=front)
        end = login.expires_at
        assert (end - login.created_at).days == 30
        now = end - timedelta(seconds=1)
        monkeypatch.setattr("automart.oauth.grants.utcnow", lambda: now)
        second = refresh(client, tokens["refresh_token"], client_id=front).get_json()
        now = end
        over = refresh(client, second["refresh_token"], client_id=front)
        assert error_of(over) == "invalid_grant"
        assert over.get_json()["error_description"] == "The login has ended. Log in again."


def test_a_client_cannot_authenticate_in_two_ways(client: FlaskClient) -> None:
    machine = make_client("catalogue", secret="one").id
    form = {"grant_type": "client_credentials", "client_id": machine, "client_secret": "one"}
    for path in ("/oauth/token", "/oauth/revoke"):
        answer = client.post(path, data=form | {"token": "x"}, auth=(machine, "one"))
        assert error_of(answer) == "invalid_request"
    assert client.post("/oauth/token", data=form).status_code == 200


def test_parameters_without_a_value_and_other_schemes_are_ignored(client: FlaskClient) -> None:
    service = make_client("catalogue", secret="s3cret s3cret")
    form = {"grant_type": "client_credentials", "scope": " ", "code": "", "redirect_uri": ""}
    form |= {"client_id": service.id, "client_secret": "s3cret s3cret"}
    response = client.post("/oauth/token", data=form)
    assert response.get_json()["scope"] == "catalogue"
    tokens = client.post(
        "/login", json={"email": make_user().email, "password": PASSWORD}
    ).get_json()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    form |= {"client_secret": "", "scope": ""}
    headers = {"Authorization": "Negotiate YQ=="}
    assert client.post("/oauth/token", data=form, headers=headers).status_code == 200
