"""Concurrent requests, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, text, update
from sqlalchemy.sql.dml import UpdateBase
from werkzeug.test import TestResponse

from automart.accounts import service
from automart.accounts.login_throttle import ACCOUNT
from automart.accounts.models import Client, Login, User
from automart.accounts.passwords import hash_password
from automart.accounts.service import create_application
from automart.accounts.sessions import hash_token
from automart.core.db import db, transaction
from tests.oauth.pages import CALLBACK, code_for, exchange, log_in, me, refresh
from tests.support.databases import on_postgresql
from tests.support.http import assert_problem, at_once
from tests.support.people import PASSWORD, make_client, signed_in

ROUNDS = 5


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    return make_user(is_admin=True)


@pytest.fixture
def ben(make_user: Callable[..., User]) -> User:
    return make_user(is_admin=True)


def test_a_password_that_an_administrator_sets_at_the_same_time_stays(
    app: Flask, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = service.replace_password_with_hash
    of_admin = hash_password("the administrator's choice")

    def while_it_is_hashed(*arguments: Any) -> Any:
        with db.engine.begin() as connection:
            connection.execute(update(User).where(User.id == ann.id).values(password_hash=of_admin))
        return hashed(*arguments)

    monkeypatch.setattr(service, "replace_password_with_hash", while_it_is_hashed)
    change = {"current_password": PASSWORD, "password": "the choice of a thief"}
    response = signed_in(app, ann).patch("/v1/users/me", json=change)
    problem = assert_problem(response, 422)
    assert problem["errors"][0]["pointer"] == "#/current_password"
    db.session.expire_all()
    assert db.session.get_one(User, ann.id).password_hash == of_admin


class TestLastAdmin:
    @pytest.mark.parametrize("change", [{"is_admin": False}, {"is_active": False}, None])
    def test_of_two_admins_who_remove_each_other_one_remains(
        self, app: Flask, ann: User, ben: User, change: dict[str, bool] | None
    ) -> None:
        clients = {user.id: signed_in(app, user) for user in (ann, ben)}

        def remove(by: int, user_id: int) -> Any:
            path = f"/v1/users/{user_id}"
            if change is None:
                return clients[by].delete(path)
            return clients[by].patch(path, json=change)

        answers = at_once(partial(remove, ann.id, ben.id), partial(remove, ben.id, ann.id))
        statuses = sorted(answer.status_code for answer in answers)
        # The second request may arrive when its user is no longer an administrator.
        assert statuses[0] in (200, 204)
        assert statuses[1] in (401, 403, 409)
        db.session.rollback()
        left = db.session.query(User).filter(User.is_admin, User.is_active).count()
        assert left == 1

    def test_the_database_refuses_to_remove_the_last_admin(self, app: Flask, ann: User) -> None:
        path = f"/v1/users/{ann.id}"
        client = signed_in(app, ann)
        for answer in (
            client.patch(path, json={"is_admin": False}),
            client.patch(path, json={"is_active": False}),
            client.delete(path),
        ):
            assert answer.status_code == 409
            assert answer.get_json()["detail"] == "This is the last active administrator."
        assert client.get(path).get_json()["is_admin"] is True

    def test_an_inactive_admin_does_not_count_as_the_last_one(
        self, app: Flask, ann: User, make_user: Callable[..., User]
    ) -> None:
        make_user(is_admin=True, is_active=False)
        client = signed_in(app, ann)
        assert client.delete(f"/v1/users/{ann.id}").status_code == 409

    def test_an_admin_can_be_deleted_if_another_remains(
        self, app: Flask, ann: User, ben: User
    ) -> None:
        assert signed_in(app, ann).delete(f"/v1/users/{ben.id}").status_code == 204


def test_two_concurrent_uses_of_a_refresh_token_end_its_login(
    client: FlaskClient, ann: User
) -> None:
    for _ in range(ROUNDS):
        body = {"email": ann.email, "password": PASSWORD}
        tokens = client.post("/login", json=body).get_json()
        answers = at_once(*[partial(refresh, client, tokens["refresh_token"])] * 2)
        assert sorted(answer.status_code for answer in answers) == [200, 400]
        won = next(answer.get_json() for answer in answers if answer.status_code == 200)
        assert me(client, won["access_token"]) == 401
        assert refresh(client, won["refresh_token"]).status_code == 400
        assert me(client, tokens["access_token"]) == 401


def test_two_concurrent_uses_of_a_code_end_its_login(
    app: Flask, client: FlaskClient, ann: User
) -> None:
    with transaction():
        front = create_application("Front end", [CALLBACK]).id
    browser = app.test_client()
    log_in(browser, ann.email)
    for _ in range(ROUNDS):
        code = code_for(browser, front)
        answers = at_once(*[partial(exchange, client, front, code)] * 2)
        assert sorted(answer.status_code for answer in answers) == [200, 400]
        won = next(answer.get_json() for answer in answers if answer.status_code == 200)
        assert me(client, won["access_token"]) == 401


def test_a_refresh_during_a_deactivation_leaves_no_valid_login(
    app: Flask, client: FlaskClient, ann: User, make_user: Callable[..., User]
) -> None:
    admin = signed_in(app, ann)
    for _ in range(ROUNDS):
        user = make_user()
        body = {"email": user.email, "password": PASSWORD}
        token = client.post("/login", json=body).get_json()["refresh_token"]
        deactivate = partial(admin.patch, f"/v1/users/{user.id}", json={"is_active": False})
        refreshed, deactivated = at_once(partial(refresh, client, token), deactivate)
        assert deactivated.status_code == 200
        admin.patch(f"/v1/users/{user.id}", json={"is_active": True})
        if refreshed.status_code == 200:
            assert me(client, refreshed.get_json()["access_token"]) == 401
        db.session.rollback()
        active_logins = db.session.query(Login).filter_by(user_id=user.id, ended_at=None).count()
        assert active_logins == 0


@on_postgresql  # SQLite has one writer at a time
class TestLoginDuringARevocation:
    """A login that began before a revocation was committed must not outlive it."""

    @pytest.fixture
    def zoe(self, make_user: Callable[..., User]) -> User:
        return make_user()

    def test_a_code_is_refused_after_a_deactivation(
        self, app: Flask, client: FlaskClient, zoe: User
    ) -> None:
        with transaction():
            front = create_application("Front end", [CALLBACK]).id
        browser = app.test_client()
        log_in(browser, zoe.email)
        for revocation in (
            update(User).where(User.id == zoe.id).values(is_active=False),
            update(Client).where(Client.id == front).values(is_active=False),
        ):
            code = code_for(browser, front)
            answer = answer_during(revocation, partial(exchange, client, front, code))
            assert answer.status_code == 400, answer.get_json()
            assert answer.get_json()["error"] == "invalid_grant"
            with transaction():
                db.session.execute(update(User).values(is_active=True))

    def test_a_client_secret_is_refused_after_its_rotation(
        self, app: Flask, client: FlaskClient
    ) -> None:
        machine = make_client("catalogue", secret="old").id
        named = {"client_id": machine, "client_secret": "old"}
        form = named | {"grant_type": "client_credentials"}
        for log_in_again in (
            partial(client.post, "/oauth/token", data=form),
            partial(client.post, "/login", json=named),
        ):
            with transaction():
                db.session.execute(
                    update(Client).values(secret_hash=hash_token("old")).where(Client.id == machine)
                )
            rotation = update(Client).where(Client.id == machine)
            rotation = rotation.values(secret_hash=hash_token("new"))
            assert answer_during(rotation, log_in_again).status_code == 401

    def test_a_code_of_a_user_who_is_being_deleted_is_refused(
        self, app: Flask, client: FlaskClient, zoe: User
    ) -> None:
        with transaction():
            front = create_application("Front end", [CALLBACK]).id
        browser = app.test_client()
        log_in(browser, zoe.email)
        deletion = delete(User).where(User.id == zoe.id)
        exchanged = partial(exchange, client, front, code_for(browser, front))
        answer = answer_during(deletion, exchanged)
        assert answer.status_code == 400
        assert answer.get_json()["error"] == "invalid_grant"


def answer_during(revocation: UpdateBase, request: Callable[[], TestResponse]) -> TestResponse:
    """Execute `revocation`, and commit it when `request` waits for it or is answered."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with ThreadPoolExecutor(1) as pool:
        with db.engine.begin() as another:
            another.execute(revocation)
            answer = pool.submit(request)
            while not answer.done():
                with db.engine.connect() as observer:
                    if observer.scalar(waiting):
                        break
        return answer.result()


def test_concurrent_guesses_are_all_counted(client: FlaskClient, ann: User) -> None:
    body = {"email": ann.email, "password": "wrong"}
    guess = partial(client.post, "/login", json=body)
    answers = at_once(*[guess] * (ACCOUNT.burst + 4))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(401) == ACCOUNT.burst
    assert statuses.count(429) == 4


def test_of_two_concurrent_users_with_one_email_address_one_is_created(
    app: Flask, ann: User
) -> None:
    admin = signed_in(app, ann)
    bodies = [
        {"email": email, "password": "four other words", "name": "Zoe"}
        for email in ("zoe@example.com", "ZOE@example.com")
    ]
    answers = at_once(*(partial(admin.post, "/v1/users", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
