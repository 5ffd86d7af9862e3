"""Service clients, applications, and the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts import service
from automart.accounts.models import AuditEvent, Client, User
from automart.core.db import db
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem, pointers
from tests.support.logs import logged
from tests.support.people import PASSWORD, make_client, signed_in

SERVICE = {"name": "Nightly", "kind": "service", "scopes": ["catalogue"]}
APPLICATION = {"name": "Front", "kind": "application", "redirect_uris": ["https://a.example/cb"]}


def token_status(client: FlaskClient, machine: dict[str, Any]) -> int:
    auth = (machine["client_id"], machine["client_secret"])
    form = {"grant_type": "client_credentials"}
    return client.post("/oauth/token", data=form, auth=auth).status_code


class TestCreate:
    def test_the_secret_of_a_service_client_is_shown_only_once(
        self, as_admin: FlaskClient, client: FlaskClient
    ) -> None:
        response = as_admin.post("/v1/clients", json=SERVICE)
        assert response.status_code == 201
        assert response.headers["Cache-Control"] == "no-store"
        machine = response.get_json()
        assert token_status(client, machine) == 200
        shown = as_admin.get(response.headers["Location"]).get_json()
        assert shown == {k: v for k, v in machine.items() if k != "client_secret"}
        listed = as_admin.get("/v1/clients").get_json()["items"]
        assert shown in listed
        stored = db.session.get_one(Client, machine["client_id"])
        assert machine["client_secret"] not in str(vars(stored))

    def test_an_application_has_no_secret(self, as_admin: FlaskClient) -> None:
        application = as_admin.post("/v1/clients", json=APPLICATION).get_json()
        assert "client_secret" not in application
        assert application["redirect_uris"] == APPLICATION["redirect_uris"]

    @on_sqlite
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            (SERVICE | {"scopes": ["office"]}, "#/scopes/0"),
            (SERVICE | {"scopes": ["manufacturer"]}, "#/scopes/0"),
            (SERVICE | {"redirect_uris": ["https://a.example/"]}, "#/redirect_uris"),
            (SERVICE | {"kind": "robot"}, "#/kind"),
            (SERVICE | {"client_id": "mine"}, "#/client_id"),
            (SERVICE | {"client_secret": "mine"}, "#/client_secret"),
            (APPLICATION | {"scopes": ["catalogue"]}, "#/scopes"),
            (APPLICATION | {"redirect_uris": []}, "#/redirect_uris"),
            ({"name": "A", "kind": "application"}, "#/redirect_uris"),
        ],
    )
    def test_an_invalid_client_field_is_named(
        self, as_admin: FlaskClient, body: dict[str, Any], pointer: str
    ) -> None:
        assert list(pointers(as_admin.post("/v1/clients", json=body))) == [pointer]

    @on_sqlite
    @pytest.mark.parametrize(
        "uri",
        [
            "http://a.example/cb",
            "https://a.example/cb#fragment",
            "https://u:p@a.example/cb",
            "https://a.example/c b",
            "https://[::1",
            "https:///cb",
            "javascript:alert(1)",
            "/cb",
            "",
        ],
    )
    def test_redirect_uris_that_would_leak_codes_are_refused(
        self, as_admin: FlaskClient, uri: str
    ) -> None:
        response = as_admin.post("/v1/clients", json=APPLICATION | {"redirect_uris": [uri]})
        assert list(pointers(response)) == ["#/redirect_uris/0"]

    @pytest.mark.parametrize("uri", ["http://localhost:3000/cb", "http://127.0.0.1/cb"])
    def test_a_loopback_redirect_uri_needs_no_tls(self, as_admin: FlaskClient, uri: str) -> None:
        response = as_admin.post("/v1/clients", json=APPLICATION | {"redirect_uris": [uri]})
        assert response.status_code == 201


class TestChange:
    def test_rotation_invalidates_the_old_secret_and_its_tokens(
        self, as_admin: FlaskClient, client: FlaskClient
    ) -> None:
        old = as_admin.post("/v1/clients", json=SERVICE).get_json()
        form = {"grant_type": "client_credentials"}
        auth = (old["client_id"], old["client_secret"])
        token = client.post("/oauth/token", data=form, auth=auth).get_json()["access_token"]
        response = as_admin.post(f"/v1/clients/{old['client_id']}/rotate-secret")
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert token_status(client, old) == 401
        assert token_status(client, response.get_json()) == 200
        header = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/makes", headers=header).status_code == 401

    def test_clients_can_be_updated_and_deleted(self, as_admin: FlaskClient) -> None:
        made = as_admin.post("/v1/clients", json=SERVICE).get_json()
        path = f"/v1/clients/{made['client_id']}"
        body = {"name": "Other", "scopes": ["metrics", "catalogue", "metrics"]}
        changed = as_admin.patch(path, json=body).get_json()
        assert (changed["name"], changed["scopes"]) == ("Other", ["catalogue", "metrics"])
        assert pointers(as_admin.patch(path, json={"redirect_uris": ["https://a.example/"]}))
        assert as_admin.patch(path, json={}).get_json() == changed
        assert as_admin.delete(path).status_code == 204
        assert_problem(as_admin.get(path), 404)

    def test_the_etag_of_a_response_with_a_secret_can_be_used_to_update(
        self, as_admin: FlaskClient
    ) -> None:
        answer = as_admin.post("/v1/clients", json=SERVICE)
        path = answer.headers["Location"]
        for name in ("A", "B"):
            etag = answer.headers["ETag"]
            assert as_admin.get(path).headers["ETag"] == etag
            changed = as_admin.patch(path, json={"name": name}, headers={"If-Match": etag})
            assert changed.status_code == 200
            answer = as_admin.post(f"{path}/rotate-secret")

    def test_an_application_keeps_at_least_one_redirect_uri(self, as_admin: FlaskClient) -> None:
        made = as_admin.post("/v1/clients", json=APPLICATION).get_json()
        path = f"/v1/clients/{made['client_id']}"
        assert pointers(as_admin.patch(path, json={"redirect_uris": []}))
        assert pointers(as_admin.patch(path, json={"scopes": ["catalogue"]}))
        assert_problem(as_admin.post(f"{path}/rotate-secret"), 409)

    def test_built_in_clients_cannot_be_changed(self, as_admin: FlaskClient) -> None:
        for name in ("docs", "login"):
            path = f"/v1/clients/{name}"
            assert as_admin.get(path).get_json()["kind"] == "application"
            assert_problem(as_admin.delete(path), 409)
            assert_problem(as_admin.patch(path, json={"is_active": False}), 409)
            assert_problem(as_admin.post(f"{path}/rotate-secret"), 409)

    def test_the_scopes_of_a_partners_client_cannot_be_changed(self, as_admin: FlaskClient) -> None:
        path = f"/v1/clients/{make_client('office').id}"
        assert_problem(as_admin.patch(path, json={"scopes": ["catalogue"]}), 409)
        assert as_admin.patch(path, json={"name": "B"}).get_json()["scopes"] == ["office"]

    @pytest.mark.parametrize("name", ["%00", "a" * 1000, "a%20b", "%ff"])
    def test_an_impossible_client_id_is_not_found(self, as_admin: FlaskClient, name: str) -> None:
        assert_problem(as_admin.get(f"/v1/clients/{name}"), 404)


class TestAuditTrail:
    def kinds(self, as_admin: FlaskClient, subject: str) -> list[str]:
        listed = as_admin.get("/v1/audit-events", query_string={"subject": subject})
        return [event["kind"] for event in reversed(listed.get_json()["items"])]

    def test_an_audit_event_contains_actor_subject_and_address(
        self, app: Flask, make_user: Callable[..., User]
    ) -> None:
        admin = make_user(is_admin=True)
        as_admin = signed_in(app, admin)
        body = {"email": "zoe@example.com", "password": "four other words", "name": "Zoe"}
        user_id = as_admin.post("/v1/users", json=body).get_json()["id"]
        as_admin.patch(f"/v1/users/{user_id}", json={"is_admin": True, "name": "Z"})
        listed = as_admin.get(f"/v1/audit-events?subject=user:{user_id}&kind=USER_CHANGED")
        (event,) = listed.get_json()["items"]
        assert event.keys() == {"id", "at", "kind", "actor", "subject", "address", "detail"}
        assert event["actor"] == f"user:{admin.id}"
        assert event["address"] == "127.0.0.1"
        assert event["detail"] == {"is_admin": True, "changed": ["name"]}

    def test_logins_and_failures_are_recorded(
        self, client: FlaskClient, as_admin: FlaskClient, make_user: Callable[..., User]
    ) -> None:
        user = make_user()
        for password in ("wrong", PASSWORD):
            client.post("/login", json={"email": user.email, "password": password})
        assert self.kinds(as_admin, user.caller_id) == ["login_failed", "login_succeeded"]

    def test_possible_secrets_are_not_recorded(
        self, client: FlaskClient, as_admin: FlaskClient
    ) -> None:
        client.post("/login", json={"email": "my secret password", "password": "x"})
        made = as_admin.post("/v1/clients", json=SERVICE).get_json()
        trail = as_admin.get("/v1/audit-events").get_data(as_text=True)
        assert "my secret password" not in trail
        assert made["client_secret"] not in trail

    def test_all_changes_of_a_client_are_recorded(self, as_admin: FlaskClient) -> None:
        made = as_admin.post("/v1/clients", json=SERVICE).get_json()
        path = f"/v1/clients/{made['client_id']}"
        as_admin.post(f"{path}/rotate-secret")
        as_admin.patch(path, json={"scopes": []})
        as_admin.delete(path)
        assert self.kinds(as_admin, f"client:{made['client_id']}") == [
            "client_created",
            "client_secret_rotated",
            "client_changed",
            "client_deleted",
        ]

    def test_a_failed_change_is_not_recorded(self, as_admin: FlaskClient) -> None:
        body = {"email": "zoe@example.com", "password": "four other words", "name": "Zoe"}
        as_admin.post("/v1/users", json=body)
        assert_problem(as_admin.post("/v1/users", json=body), 409)
        assert db.session.query(AuditEvent).filter_by(kind="user_created").count() == 1

    def test_denied_access_is_logged(
        self, client: FlaskClient, as_user: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.get("/v1/users")
        as_user.get("/v1/users")
        unknown, user = logged(caplog, "access_denied")
        event = {"event": "access_denied", "path": "/v1/users"}
        reason = "Send an access token: `Authorization: Bearer TOKEN`."
        assert unknown == event | {"caller": None, "reason": reason}
        assert user == event | {"caller": user["caller"], "needs": "an administrator"}
        assert user["caller"].startswith("user:")


class TestFirstAdmin:
    def test_the_first_admin_is_created_once_with_a_random_password(
        self, app: Flask, client: FlaskClient
    ) -> None:
        password = service.ensure_first_admin()
        assert password is not None
        assert service.ensure_first_admin() is None
        body = {"email": service.FIRST_ADMIN_EMAIL, "password": password}
        token = client.post("/login", json=body).get_json()["access_token"]
        header = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/users", headers=header).status_code == 200

    def test_there_is_no_default_account(self, app: Flask) -> None:
        assert db.session.query(User).count() == 0
