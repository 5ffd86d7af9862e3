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
from tests.support.people import PASSWORD, make_client, signed_in, token_of

SERVICE = {"name": "Nightly", "kind": "service", "scopes": ["catalogue"]}
APPLICATION = {"name": "Front", "kind": "application", "redirect_uris": ["https://a.example/cb"]}
ZOE = {"email": "zoe@example.com", "password": "four other words", "name": "Zoe"}

SCOPES = "Must be one of: catalogue, metrics."
NO_SCOPES = "An application has no scopes."
NO_URIS = "A service client has no redirect URIs."
NEEDS_URIS = "An application needs at least one redirect URI."
UNSAFE_URI = (
    "Must be an absolute https URL without a fragment, http on a loopback address, or have a"
    " private scheme as in com.example.app:/done."
)


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
        ("body", "pointer", "reason"),
        [
            (SERVICE | {"scopes": ["office"]}, "#/scopes/0", SCOPES),
            (SERVICE | {"scopes": ["manufacturer"]}, "#/scopes/0", SCOPES),
            (SERVICE | {"redirect_uris": ["https://a.example/"]}, "#/redirect_uris", NO_URIS),
            (SERVICE | {"kind": "robot"}, "#/kind", "Must be one of: service, application."),
            (SERVICE | {"client_id": "mine"}, "#/client_id", "Unknown field."),
            (SERVICE | {"client_secret": "mine"}, "#/client_secret", "Unknown field."),
            (APPLICATION | {"scopes": ["catalogue"]}, "#/scopes", NO_SCOPES),
            (APPLICATION | {"redirect_uris": []}, "#/redirect_uris", NEEDS_URIS),
            ({"name": "A", "kind": "application"}, "#/redirect_uris", NEEDS_URIS),
        ],
    )
    def test_an_invalid_client_field_is_named(
        self, as_admin: FlaskClient, body: dict[str, Any], pointer: str, reason: str
    ) -> None:
        assert pointers(as_admin.post("/v1/clients", json=body)) == {pointer: reason}

    @on_sqlite
    @pytest.mark.parametrize(
        "uri",
        [
            "http://a.example/cb",
            "https://a.example/cb#fragment",
            "https://u:p@a.example/cb",
            "https://a.example/c b",
            'https://a.example/"',
            "https://a.example/<b>",
            "https://a.example/\\b",
            "https://a.example/\x7fb",
            "https://a.example/ü",
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
        assert pointers(response) == {"#/redirect_uris/0": UNSAFE_URI}

    @pytest.mark.parametrize("uri", ["http://localhost:3000/cb", "http://127.0.0.1/X"])
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
        refused = as_admin.patch(path, json={"redirect_uris": ["https://a.example/"]})
        assert pointers(refused) == {"#/redirect_uris": NO_URIS}
        assert as_admin.patch(path, json={}).get_json() == changed
        reduced = as_admin.patch(path, json={"scopes": ["metrics"]}).get_json()
        assert reduced["scopes"] == ["metrics"]
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
        without = as_admin.patch(path, json={"redirect_uris": []})
        assert pointers(without) == {"#/redirect_uris": NEEDS_URIS}
        with_scopes = as_admin.patch(path, json={"scopes": ["catalogue"]})
        assert pointers(with_scopes) == {"#/scopes": NO_SCOPES}
        problem = assert_problem(as_admin.post(f"{path}/rotate-secret"), 409)
        assert problem["detail"] == "An application has no secret."
        renamed = as_admin.patch(path, json={"name": "Other"}).get_json()
        assert (renamed["name"], renamed["redirect_uris"]) == ("Other", made["redirect_uris"])

    def test_built_in_clients_cannot_be_changed(self, as_admin: FlaskClient) -> None:
        for name in ("docs", "login"):
            path = f"/v1/clients/{name}"
            assert as_admin.get(path).get_json()["kind"] == "application"
            changed = as_admin.patch(path, json={"is_active": False})
            for response in (as_admin.delete(path), changed):
                reason = "A built-in client cannot be changed or deleted."
                assert assert_problem(response, 409)["detail"] == reason
            assert_problem(as_admin.post(f"{path}/rotate-secret"), 409)

    def test_the_scopes_of_a_partners_client_cannot_be_changed(self, as_admin: FlaskClient) -> None:
        path = f"/v1/clients/{make_client('office').id}"
        problem = assert_problem(as_admin.patch(path, json={"scopes": ["catalogue"]}), 409)
        assert problem["detail"] == "The scopes of a partner's client cannot be changed."
        assert as_admin.patch(path, json={"name": "B"}).get_json()["scopes"] == ["office"]

    @pytest.mark.parametrize("name", ["%00", "a" * 1000, "a%20b", "%ff"])
    def test_an_impossible_client_id_is_not_found(self, as_admin: FlaskClient, name: str) -> None:
        problem = assert_problem(as_admin.get(f"/v1/clients/{name}"), 404)
        assert problem["detail"] == "There is no such client."


class TestAuditTrail:
    def kinds(self, as_admin: FlaskClient, subject: str) -> list[str]:
        return [kind for kind, _, _ in self.events(as_admin, subject)]

    def events(self, as_admin: FlaskClient, subject: str) -> list[tuple[str, str | None, Any]]:
        """Return kind, actor and detail of all events of this subject."""
        listed = as_admin.get("/v1/audit-events", query_string={"subject": subject})
        items = reversed(listed.get_json()["items"])
        return [(event["kind"], event["actor"], event["detail"]) for event in items]

    def test_an_audit_event_contains_actor_subject_and_address(
        self, app: Flask, make_user: Callable[..., User]
    ) -> None:
        admin = make_user(is_admin=True)
        as_admin = signed_in(app, admin)
        user_id = as_admin.post("/v1/users", json=ZOE).get_json()["id"]
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

    def test_all_changes_of_a_client_are_recorded(
        self, app: Flask, make_user: Callable[..., User]
    ) -> None:
        admin = make_user(is_admin=True)
        as_admin, actor = signed_in(app, admin), admin.caller_id
        made = as_admin.post("/v1/clients", json=SERVICE).get_json()
        path = f"/v1/clients/{made['client_id']}"
        as_admin.post(f"{path}/rotate-secret")
        as_admin.patch(path, json={"scopes": [], "name": "Other"})
        as_admin.patch(path, json={"name": "Other"})  # no change
        as_admin.delete(path)
        assert self.events(as_admin, f"client:{made['client_id']}") == [
            ("client_created", actor, {"name": "Nightly", "scopes": ["catalogue"]}),
            ("client_secret_rotated", actor, None),
            ("client_changed", actor, {"scopes": [], "changed": ["name"]}),
            ("client_deleted", actor, {"name": "Other"}),
        ]
        application = as_admin.post("/v1/clients", json=APPLICATION).get_json()
        assert self.events(as_admin, f"client:{application['client_id']}") == [
            ("client_created", actor, {"name": "Front"})
        ]

    def test_all_changes_of_a_user_are_recorded(
        self, app: Flask, make_user: Callable[..., User]
    ) -> None:
        admin = make_user(is_admin=True)
        as_admin, actor = signed_in(app, admin), admin.caller_id
        path = as_admin.post("/v1/users", json=ZOE).headers["Location"]
        subject = f"user:{path.rpartition('/')[2]}"
        as_admin.patch(path, json={"password": "some more words", "is_active": False})
        as_admin.delete(path)
        assert self.events(as_admin, subject) == [
            ("user_created", actor, {"is_admin": False}),
            ("password_changed", actor, None),
            ("user_changed", actor, {"is_active": False}),
            ("user_deleted", actor, {"email": "zoe@example.com"}),
        ]

    def test_what_users_do_with_their_own_password_and_sessions_is_recorded(
        self, app: Flask, as_admin: FlaskClient, make_user: Callable[..., User]
    ) -> None:
        user = make_user()
        token_of(app, user)
        own = signed_in(app, user)
        for current in ("wrong", PASSWORD):
            change = {"current_password": current, "password": "four other words"}
            own.patch("/v1/users/me", json=change)
        token_of(app, user)
        own.delete("/v1/users/me/sessions")
        own.delete("/v1/users/me/sessions")  # there is no other
        (session,) = own.get("/v1/users/me/sessions").get_json()["items"]
        own.delete(f"/v1/users/me/sessions/{session['id']}")
        assert self.events(as_admin, user.caller_id) == [
            (kind, user.caller_id, None)
            for kind in ("login_failed", "password_changed", "login_ended", "login_ended")
        ]

    def test_audit_events_are_logged(
        self, as_admin: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = as_admin.post("/v1/clients", json=SERVICE).get_json()
        (event,) = logged(caplog, "audit")
        assert event.pop("actor") == event.pop("caller")
        assert event == {
            "event": "audit",
            "audit": "client_created",
            "subject": f"client:{made['client_id']}",
            "name": "Nightly",
            "scopes": ["catalogue"],
        }

    def test_a_failed_change_is_not_recorded(self, as_admin: FlaskClient) -> None:
        as_admin.post("/v1/users", json=ZOE)
        assert_problem(as_admin.post("/v1/users", json=ZOE), 409)
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
        shown: list[str] = []
        service.ensure_first_admin(shown.append)
        service.ensure_first_admin(shown.append)
        [password] = shown
        body = {"email": service.FIRST_ADMIN_EMAIL, "password": password}
        token = client.post("/login", json=body).get_json()["access_token"]
        header = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/users", headers=header).status_code == 200

    def test_there_is_no_default_account(self, app: Flask) -> None:
        assert db.session.query(User).count() == 0
