"""Proving who one is: with a password, or with a client's secret.

Nothing tells whether the account exists: the words, the status and the work are the same.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from flask import request
from sqlalchemy import select

from automart.accounts import audit, login_throttle
from automart.accounts.models import LONGEST_CLIENT_ID, Client, User
from automart.accounts.passwords import hash_password, is_right, needs_rehash
from automart.accounts.sessions import hash_of
from automart.core.db import db, release_connection, transaction
from automart.core.errors import Unauthenticated
from automart.core.text import casefold_key
from automart.web.fields import LONGEST_EMAIL

_CLIENT_ID = re.compile(rf"[A-Za-z0-9_.-]{{1,{LONGEST_CLIENT_ID}}}", re.ASCII)
_NOBODYS_SECRET = hash_of("nobody has this secret")


class WrongCredentials(Unauthenticated):
    """No such account, or not its password: the caller is not told which."""

    def __init__(self) -> None:
        super().__init__("The account or its password or secret is wrong.")


@contextmanager
def proven_user(email: str, password: str) -> Iterator[User]:
    """The active user whose e-mail address and password these are, in a transaction.

    Raises `WrongCredentials` or `TooManyRequests`. No transaction is open while the password is
    hashed, which takes long on purpose.
    """
    account = _account_of(email)
    with transaction():
        attempt = login_throttle.begin_attempt(account, request.remote_addr)
    user = db.session.scalars(select(User).where(User.email_folded == account)).one_or_none()
    release_connection()
    stored = user.password_hash if user else None
    right = is_right(password, stored)
    if user is None or not right or not user.is_active:
        _fail(user.caller_id if user else None)
    fresh = hash_password(password) if needs_rehash(user.password_hash) else None
    with transaction():
        user = db.session.get(User, user.id, populate_existing=True, with_for_update=True)
        if user is None or user.password_hash != stored or not user.is_active:
            raise WrongCredentials  # it was changed in this very moment
        attempt.succeed()
        if fresh is not None:
            user.password_hash = fresh
        audit.record(audit.Event.LOGIN_SUCCEEDED, subject=user.caller_id, actor=user.caller_id)
        yield user


@contextmanager
def proven_client(client_id: str, secret: str) -> Iterator[Client]:
    """The active service client whose id and secret these are, in a transaction.

    Raises `WrongCredentials` or `TooManyRequests`.
    """
    with transaction():
        login_throttle.check_address(request.remote_addr)
        client = client_with_secret(client_id, secret)
        if client is not None:
            audit.record(
                audit.Event.LOGIN_SUCCEEDED, subject=client.caller_id, actor=client.caller_id
            )
            yield client
            return
    count_failed_client(client_id)
    raise WrongCredentials


def find_client(client_id: str) -> Client | None:
    """The client with this id, whatever text was sent for it."""
    return db.session.get(Client, client_id) if _CLIENT_ID.fullmatch(client_id) else None


def client_with_secret(client_id: str, secret: str) -> Client | None:
    """The active client whose id and secret these are. A secret cannot be guessed: it is random."""
    client = find_client(client_id)
    stored = (client.secret_hash if client else None) or _NOBODYS_SECRET
    if hmac.compare_digest(stored, hash_of(secret)) and client is not None and client.is_active:
        return client
    return None


def count_failed_client(client_id: str) -> None:
    """Remember that somebody failed to be this client."""
    with transaction():
        login_throttle.charge_address(request.remote_addr)
        client = find_client(client_id)
        audit.record(audit.Event.LOGIN_FAILED, subject=client.caller_id if client else None)


def _account_of(email: str) -> str:
    """The form in which addresses are compared. What cannot be one is nobody's."""
    email = email.strip()
    return casefold_key(email) if email.isprintable() and len(email) <= LONGEST_EMAIL else ""


def _fail(subject: str | None) -> NoReturn:
    with transaction():
        # What was typed for an unknown account is not kept: it may well be a password.
        audit.record(audit.Event.LOGIN_FAILED, subject=subject)
    raise WrongCredentials
