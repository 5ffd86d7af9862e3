"""The revocation endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts.models import Client, Login, User
from automart.core.db import db, transaction
from tests.oauth.pages import (
    audited,
    error_of,
    me,
    refresh,
)
from tests.support.people import PASSWORD, make_user, token_of


class TestRevocation:
    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    @pytest.mark.parametrize("hint", ["access_token", "id_token", None])
    def test_revocation_ends_the_login_of_the_token(
        self,
        client: FlaskClient,
        front: str,
        tokens: dict[str, Any],
        kind: str,
        hint: str | None,
        ann: User,
    ) -> None:
        form = {"token": tokens[kind], "client_id": front}
        if hint:
            form["token_type_hint"] = hint
        assert client.post("/oauth/revoke", data=form).status_code == 200
        assert me(client, tokens["access_token"]) == 401
        late = refresh(client, tokens["refresh_token"], client_id=front)
        assert error_of(late) == "invalid_grant"
        assert client.post("/oauth/revoke", data=form).status_code == 200
        assert [subject for _, subject, _ in audited("login_ended")] == [ann.caller_id]

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

    def test_revoking_an_unknown_token_succeeds(self, app: Flask, client: FlaskClient) -> None:
        assert client.post("/oauth/revoke", data={"token": "guess"}).status_code == 200
        expired = token_of(app, make_user())
        with transaction():
            db.session.query(Login).delete()
        assert client.post("/oauth/revoke", data={"token": expired}).status_code == 200
        empty = client.post("/oauth/revoke", data={})
        assert error_of(empty) == "invalid_request"
        assert empty.get_json()["error_description"] == "The parameter token is missing."
