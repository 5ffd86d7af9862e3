"""The sessions of the current user: listed, and ended one by one or all at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from automart.accounts.models import Client, Login, User
from automart.accounts.service import create_application
from automart.accounts.sessions import (
    create_login,
    create_service_login,
    end_login,
    end_logins_of_client,
    end_logins_of_user,
)
from automart.core.db import db, transaction, utcnow
from tests.oauth.pages import CALLBACK, authorize_url, code_for, exchange, log_in, me, refresh
from tests.support.http import assert_problem
from tests.support.people import PASSWORD, signed_in, with_token

SESSIONS = "/v1/users/me/sessions"


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    return make_user()


def tokens_of(client: FlaskClient, user: User) -> dict[str, Any]:
    """Log in with `/login`."""
    body = {"email": user.email, "password": PASSWORD}
    tokens: dict[str, Any] = client.post("/login", json=body).get_json()
    return tokens


def sessions_of(client: FlaskClient) -> list[dict[str, Any]]:
    answer = client.get(SESSIONS)
    assert answer.status_code == 200
    items: list[dict[str, Any]] = answer.get_json()["items"]
    return items


def test_every_way_of_logging_in_is_a_session(app: Flask, client: FlaskClient, ann: User) -> None:
    with transaction():
        front = create_application("Front end", [CALLBACK]).id
    browser = app.test_client()
    log_in(browser, ann.email)
    through_application = exchange(client, front, code_for(browser, front)).get_json()
    caller = with_token(app, tokens_of(client, ann)["access_token"])
    newest, second, first = sessions_of(caller)
    assert [each["application"] for each in (first, second, newest)] == [None, "Front end", None]
    assert [each["is_current"] for each in (first, second, newest)] == [False, False, True]
    assert newest.keys() == {
        *("id", "created_at", "last_used_at", "address", "application", "is_current"),
    }
    assert newest["address"] == "127.0.0.1"
    assert newest["last_used_at"] == newest["created_at"]
    as_application = with_token(app, through_application["access_token"])
    assert [each["is_current"] for each in sessions_of(as_application)] == [False, True, False]


def test_sessions_of_others_and_ended_ones_are_not_listed(
    app: Flask, client: FlaskClient, ann: User, make_user: Callable[..., User]
) -> None:
    other = signed_in(app, make_user())
    ended, expired, current = (tokens_of(client, ann) for _ in range(3))
    client.post("/oauth/revoke", data={"token": ended["refresh_token"]})
    caller = with_token(app, current["access_token"])
    (_, session) = sessions_of(caller)
    assert not session["is_current"]
    with transaction():
        of_expired = update(Login).where(Login.id == uuid.UUID(session["id"]))
        db.session.execute(of_expired.values(expires_at=utcnow()))
    assert [each["is_current"] for each in sessions_of(caller)] == [True]
    assert me(client, expired["access_token"]) == 401
    (foreign,) = sessions_of(other)
    assert_problem(caller.delete(f"{SESSIONS}/{foreign['id']}"), 404)
    assert len(sessions_of(other)) == 1


def test_a_page_of_sessions_leads_to_the_next(app: Flask, client: FlaskClient, ann: User) -> None:
    logins = [tokens_of(client, ann) for _ in range(3)]
    caller = with_token(app, logins[0]["access_token"])
    first = caller.get(f"{SESSIONS}?limit=2").get_json()
    second = caller.get(f"{SESSIONS}?limit=2&cursor={first['next_cursor']}").get_json()
    assert [*first["items"], *second["items"]] == sessions_of(caller)


def test_a_session_can_be_ended(app: Flask, client: FlaskClient, ann: User) -> None:
    lost, current = tokens_of(client, ann), tokens_of(client, ann)
    caller = with_token(app, current["access_token"])
    _, other = sessions_of(caller)
    assert caller.delete(f"{SESSIONS}/{other['id']}").status_code == 204
    assert me(client, lost["access_token"]) == 401
    assert refresh(client, lost["refresh_token"]).status_code == 400
    (own,) = sessions_of(caller)
    assert_problem(caller.delete(f"{SESSIONS}/{other['id']}"), 404)
    assert_problem(caller.delete(f"{SESSIONS}/nonsense"), 404)
    assert caller.delete(f"{SESSIONS}/{own['id']}").status_code == 204
    assert_problem(caller.get(SESSIONS), 401)


def test_all_other_sessions_can_be_ended_at_once(
    app: Flask, client: FlaskClient, ann: User, make_user: Callable[..., User]
) -> None:
    with transaction():
        front = create_application("Front end", [CALLBACK]).id
    browser = app.test_client()
    log_in(browser, ann.email)
    lost = [tokens_of(client, ann), exchange(client, front, code_for(browser, front)).get_json()]
    other = signed_in(app, make_user())
    caller = with_token(app, tokens_of(client, ann)["access_token"])
    assert caller.delete(SESSIONS).status_code == 204
    assert [each["is_current"] for each in sessions_of(caller)] == [True]
    assert [me(client, tokens["access_token"]) for tokens in lost] == [401, 401]
    assert "/login" in browser.get(authorize_url(front)).location
    assert len(sessions_of(other)) == 1
    assert caller.delete(SESSIONS).status_code == 204


def test_logins_that_have_ended_keep_the_time_of_their_end(
    app: Flask, make_user: Callable[..., User], make_client: Callable[..., Client]
) -> None:
    with transaction():
        user, service = make_user(), make_client("catalogue")
        logins = [*(create_login(user) for _ in range(3)), create_service_login(service)]
        assert [login.address for login in logins] == [None] * 4  # no request caused them
        assert end_login(logins[0].id)
        assert end_logins_of_user(user.id, except_id=logins[1].id) == 1
        assert end_logins_of_user(user.id) == 1
        assert end_logins_of_user(user.id) == 0
        assert [end_logins_of_client(service.id) for _ in range(2)] == [1, 0]


def test_the_use_of_a_session_is_recorded(app: Flask, client: FlaskClient, ann: User) -> None:
    with transaction():
        front = create_application("Front end", [CALLBACK]).id
    browser = app.test_client()
    log_in(browser, ann.email)
    tokens = tokens_of(client, ann)
    long_ago = utcnow() - timedelta(hours=1)
    with transaction():
        db.session.execute(update(Login).values(created_at=long_ago, last_used_at=long_ago))
    tokens = refresh(client, tokens["refresh_token"]).get_json()
    assert "code" in browser.get(authorize_url(front)).location
    caller = with_token(app, tokens["access_token"])
    for session in sessions_of(caller):
        assert session["last_used_at"] > session["created_at"]


def test_logins_of_earlier_releases_are_listed(app: Flask, ann: User) -> None:
    caller = signed_in(app, ann)
    with transaction():
        db.session.execute(update(Login).values(last_used_at=None, address=None))
    (session,) = sessions_of(caller)
    assert session["address"] is None
    assert session["last_used_at"] == session["created_at"]
