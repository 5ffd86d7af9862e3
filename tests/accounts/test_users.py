"""Users, and the current user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts.login_throttle import ACCOUNT
from automart.accounts.models import User
from automart.accounts.passwords import (
    LONGEST_PASSWORD,
    SHORTEST_PASSWORD,
    common_passwords,
    password_problem,
)
from automart.web.fields import TEXT_PATTERN
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem, pointers
from tests.support.people import PASSWORD, signed_in, token_of, with_token

NEW = {"email": "zoe@example.com", "password": "four other words", "name": "Zoë"}

WRONG_LENGTH = "Must have 12 to 128 characters."
UNPRINTABLE = "Must not be blank or contain control characters."
COMMON = "This is one of the most common passwords, which attackers try first."
PERSONAL = "Must not be made of the user's name, e-mail address or `automart`."


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    return make_user(name="Ann")


class TestCreate:
    def test_the_response_contains_the_user_without_the_password(
        self, as_admin: FlaskClient
    ) -> None:
        response = as_admin.post("/v1/users", json=NEW)
        assert response.status_code == 201
        user = response.get_json()
        assert user.keys() == {
            "id",
            "email",
            "name",
            "is_admin",
            "is_active",
            "created_at",
            "updated_at",
        }
        assert (user["is_admin"], user["is_active"]) == (False, True)
        assert as_admin.get(response.headers["Location"]).get_json() == user

    def test_the_new_user_can_log_in(self, as_admin: FlaskClient, client: FlaskClient) -> None:
        as_admin.post("/v1/users", json=NEW | {"is_admin": True})
        body = {"email": "ZOE@example.com", "password": NEW["password"]}
        token = client.post("/login", json=body).get_json()["access_token"]
        header = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/users", headers=header).status_code == 200

    def test_an_email_address_is_unique_regardless_of_case(self, as_admin: FlaskClient) -> None:
        as_admin.post("/v1/users", json=NEW)
        problem = assert_problem(
            as_admin.post("/v1/users", json=NEW | {"email": "ZOE@EXAMPLE.COM"}), 409
        )
        assert problem["detail"] == "There is a user with this e-mail address already."

    @on_sqlite
    @pytest.mark.parametrize(
        ("changes", "pointer"),
        [
            ({"email": "no address"}, "#/email"),
            ({"email": "a\x00@example.com"}, "#/email"),
            ({"email": "a" * 250 + "@example.com"}, "#/email"),
            ({"name": " "}, "#/name"),
            ({"name": None}, "#/name"),
            ({"is_admin": "yes"}, "#/is_admin"),
            ({"is_admin": None}, "#/is_admin"),
            ({"id": 1}, "#/id"),
            ({"is_active": False}, "#/is_active"),
            ({"password": 123456789012}, "#/password"),
        ],
    )
    def test_an_invalid_user_field_is_named(
        self, as_admin: FlaskClient, changes: dict[str, Any], pointer: str
    ) -> None:
        assert list(pointers(as_admin.post("/v1/users", json=NEW | changes))) == [pointer]

    def test_a_user_is_created_once_per_idempotency_key(self, as_admin: FlaskClient) -> None:
        headers = {"Idempotency-Key": "k"}
        answers = [as_admin.post("/v1/users", json=NEW, headers=headers) for _ in range(2)]
        assert answers[0].get_json() == answers[1].get_json()


class TestPasswords:
    @on_sqlite
    @pytest.mark.parametrize(
        ("password", "reason"),
        [
            ("a" * (SHORTEST_PASSWORD - 1), WRONG_LENGTH),
            ("a" * (LONGEST_PASSWORD + 1), WRONG_LENGTH),
            (" " * 20, UNPRINTABLE),
            ("with a\x00 NUL in it", UNPRINTABLE),
            ("with a lone \ud800", UNPRINTABLE),
            ("1qaz2wsx3edc", COMMON),
            ("1QAZ2WSX3EDC", COMMON),
        ],
    )
    def test_unacceptable_passwords_are_refused(
        self, as_admin: FlaskClient, password: str, reason: str
    ) -> None:
        response = as_admin.post("/v1/users", json=NEW | {"password": password})
        assert pointers(response) == {"#/password": reason}

    @pytest.mark.parametrize(
        "password",
        [
            "aaaaaaaaaaab",
            "b" * LONGEST_PASSWORD,
            "ö" * LONGEST_PASSWORD,
            "只是十二个字的密码而已啊",
            " spaces count ",
            "🐎🔋📎🐎🔋📎🐎🔋📎🐎🔋📎",
        ],
    )
    def test_acceptable_passwords_can_be_used_to_log_in(
        self, as_admin: FlaskClient, client: FlaskClient, password: str
    ) -> None:
        body = NEW | {"password": password}
        assert as_admin.post("/v1/users", json=body).status_code == 201
        login = {"email": NEW["email"], "password": password}
        assert client.post("/login", json=login).status_code == 200

    def test_a_password_made_of_personal_words_is_refused(
        self, app: Flask, as_admin: FlaskClient, make_user: Callable[..., User]
    ) -> None:
        named = {"email": "rosalind@hospital.example", "name": "Rosalind Okonkwo"}
        user = make_user(**named)
        own = signed_in(app, user)
        for password in (
            "Rosalind@Hospital.example",
            "okonkwo-ROSALIND",
            "Automart2026!",
            "rosalind 12345",
        ):
            created = as_admin.post("/v1/users", json=NEW | named | {"password": password})
            changed = as_admin.patch(f"/v1/users/{user.id}", json={"password": password})
            change = {"current_password": PASSWORD, "password": password}
            for response in (created, changed, own.patch("/v1/users/me", json=change)):
                assert pointers(response) == {"#/password": PERSONAL}
        for password in ("Rosalind rides horses", "automart has good cars"):
            changed = as_admin.patch(f"/v1/users/{user.id}", json={"password": password})
            assert changed.status_code == 200

    @on_sqlite
    def test_the_document_says_which_passwords_can_be_set(self, client: FlaskClient) -> None:
        schemas = client.get("/openapi.json").get_json()["components"]["schemas"]
        hidden = {"type": "string", "format": "password", "writeOnly": True}
        accepted = {
            "pattern": TEXT_PATTERN,
            "minLength": SHORTEST_PASSWORD,
            "maxLength": LONGEST_PASSWORD,
        }
        assert schemas["NewUser"]["properties"]["password"] == hidden | accepted | {
            "description": "The password to log in with."
        }
        own = schemas["CurrentUserChanges"]["properties"]
        assert own["password"] == hidden | accepted | {"description": "Your new password."}
        assert own["current_password"] == hidden | {
            "description": "Your current password, which a new one requires."
        }

    def test_the_three_thousand_most_common_passwords_are_refused(self) -> None:
        common = common_passwords()
        assert len(common) == 3000
        assert all(SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD for password in common)
        assert all(password_problem(password) for password in common)


class TestReadAndChange:
    def test_users_can_be_read_and_listed(self, as_admin: FlaskClient, ann: User) -> None:
        one = as_admin.get(f"/v1/users/{ann.id}").get_json()
        assert one["name"] == "Ann"
        assert one in as_admin.get("/v1/users").get_json()["items"]
        assert_problem(as_admin.get("/v1/users/999"), 404)
        assert_problem(as_admin.get(f"/v1/users/{2**64}"), 404)

    def test_only_fields_that_are_sent_change(self, as_admin: FlaskClient, ann: User) -> None:
        before = as_admin.get(f"/v1/users/{ann.id}").get_json()
        after = as_admin.patch(f"/v1/users/{ann.id}", json={"name": "Anna"}).get_json()
        assert after == before | {"name": "Anna", "updated_at": after["updated_at"]}
        assert after["updated_at"] > before["updated_at"]

    def test_an_empty_patch_changes_nothing(self, as_admin: FlaskClient, ann: User) -> None:
        before = as_admin.get(f"/v1/users/{ann.id}")
        after = as_admin.patch(f"/v1/users/{ann.id}", json={})
        assert (after.status_code, after.get_json()) == (200, before.get_json())

    def test_a_stale_version_is_refused(self, as_admin: FlaskClient, ann: User) -> None:
        path = f"/v1/users/{ann.id}"
        headers = {"If-Match": as_admin.get(path).headers["ETag"]}
        assert as_admin.patch(path, json={"name": "B"}, headers=headers).status_code == 200
        assert_problem(as_admin.patch(path, json={"name": "C"}, headers=headers), 412)
        assert_problem(as_admin.delete(path, headers=headers), 412)

    def test_the_id_of_a_deleted_user_is_not_reused(self, as_admin: FlaskClient, ann: User) -> None:
        assert as_admin.delete(f"/v1/users/{ann.id}").status_code == 204
        assert_problem(as_admin.get(f"/v1/users/{ann.id}"), 404)
        assert as_admin.post("/v1/users", json=NEW).get_json()["id"] > ann.id


class TestMe:
    def test_users_can_read_and_rename_themselves(self, app: Flask, ann: User) -> None:
        client = signed_in(app, ann)
        assert client.get("/v1/users/me").get_json()["id"] == ann.id
        changed = client.patch("/v1/users/me", json={"name": "Anna"}).get_json()
        assert changed["name"] == "Anna"

    @pytest.mark.parametrize("field", ["is_admin", "is_active", "email", "id", "password_hash"])
    def test_users_cannot_change_their_own_rights(self, app: Flask, ann: User, field: str) -> None:
        response = signed_in(app, ann).patch("/v1/users/me", json={field: True})
        assert pointers(response) == {f"#/{field}": "Unknown field."}

    def test_users_cannot_read_or_change_other_users(self, as_user: FlaskClient, ann: User) -> None:
        path = f"/v1/users/{ann.id}"
        statuses = [
            as_user.get(path).status_code,
            as_user.patch(path, json={"name": "B"}).status_code,
            as_user.delete(path).status_code,
            as_user.get("/v1/users/999").status_code,
        ]
        assert statuses == [403] * 4

    def test_a_new_password_ends_all_other_logins(
        self, app: Flask, client: FlaskClient, ann: User
    ) -> None:
        here, elsewhere = (with_token(app, token_of(app, ann)) for _ in range(2))
        body = {"current_password": PASSWORD, "password": NEW["password"]}
        assert here.patch("/v1/users/me", json=body).status_code == 200
        assert here.get("/v1/users/me").status_code == 200
        assert elsewhere.get("/v1/users/me").status_code == 401
        for password, status in ((PASSWORD, 401), (NEW["password"], 200)):
            login = {"email": ann.email, "password": password}
            assert client.post("/login", json=login).status_code == status

    def test_a_new_password_requires_the_current_one(self, app: Flask, ann: User) -> None:
        client = signed_in(app, ann)
        for more, reason in (
            ({}, "Required to set a new password."),
            ({"current_password": "wrong"}, "This is not your password."),
        ):
            response = client.patch("/v1/users/me", json={"password": NEW["password"]} | more)
            assert pointers(response) == {"#/current_password": reason}

    def test_a_stolen_token_cannot_be_used_to_guess_the_password(
        self, app: Flask, ann: User
    ) -> None:
        client = signed_in(app, ann)
        body = {"current_password": "wrong", "password": NEW["password"]}
        statuses = [
            client.patch("/v1/users/me", json=body).status_code for _ in range(ACCOUNT.burst + 1)
        ]
        assert statuses == [422] * ACCOUNT.burst + [429]

    def test_the_guesses_of_a_stranger_do_not_keep_users_from_changing_their_password(
        self, app: Flask, client: FlaskClient, ann: User
    ) -> None:
        login = {"email": ann.email, "password": PASSWORD}
        home: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "192.0.2.1"}}
        token = client.post("/login", json=login, **home).get_json()["access_token"]
        for _ in range(ACCOUNT.burst):
            client.post("/login", json=login | {"password": "wrong"})
        body = {"current_password": PASSWORD, "password": NEW["password"]}
        headers = {"Authorization": f"Bearer {token}"}
        changed = client.patch("/v1/users/me", json=body, headers=headers, **home)
        assert changed.status_code == 200
