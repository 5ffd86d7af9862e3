"""Factories of users and service clients, and of test clients that send their tokens. All are fast:
one password is hashed once, and tokens are issued without the login page."""

from __future__ import annotations

import itertools
import secrets
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts import passwords
from automart.accounts.models import Client, ClientKind, Login, User
from automart.accounts.sessions import create_login, create_service_login, hash_token
from automart.core.db import db, transaction
from automart.oauth.tokens import issue_access_token

RECOMMENDED_HASHER = passwords._hasher
CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

PASSWORD = "four words nobody guesses"

_numbers = itertools.count(1)


@cache
def _hash_once(password: str) -> str:
    return CHEAP_HASHER.hash(password.encode())


def make_user(*, password: str = PASSWORD, **values: Any) -> User:
    """Store a user. Fields that are not given have ordinary values."""
    number = next(_numbers)
    defaults = {"email": f"person{number}@example.com", "name": f"Person {number}"}
    user = User(password_hash=_hash_once(password), **defaults | values)
    with transaction():
        db.session.add(user)
    return user


def make_client(*scopes: str, secret: str | None = None, **values: Any) -> Client:
    """Store a service client with `scopes`."""
    secret = secret or secrets.token_urlsafe(8)
    defaults = {"name": f"Machine {next(_numbers)}", "kind": ClientKind.SERVICE}
    client = Client(secret_hash=hash_token(secret), scopes=list(scopes), **defaults | values)
    with transaction():
        db.session.add(client)
    return client


def token_of(app: Flask, who: User | Client) -> str:
    """Return a valid access token of `who`."""
    with app.test_request_context(), transaction():
        login = _login_of(who)
        return issue_access_token(login, who.scopes if isinstance(who, Client) else ())


def signed_in(app: Flask, who: User | Client) -> FlaskClient:
    """Return a test client that sends a valid access token of `who`."""
    return with_token(app, token_of(app, who))


def with_token(app: Flask, token: str) -> FlaskClient:
    """Return a test client that sends this bearer token."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def _login_of(who: User | Client) -> Login:
    return create_login(who) if isinstance(who, User) else create_service_login(who)
