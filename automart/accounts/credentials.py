"""Authentication with a password or a client secret.

Responses and their timing do not reveal whether an account exists: the text, the status and the
work are the same.
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
from automart.accounts.passwords import hash_password, needs_rehash, verify_password
from automart.accounts.sessions import hash_token
from automart.core.db import db, get_for_share, release_connection, transaction
from automart.core.errors import Unauthenticated
from automart.core.text import email_key, trim
from automart.web.fields import LONGEST_EMAIL

_CLIENT_ID = re.compile(rf"[A-Za-z0-9_.-]{{1,{LONGEST_CLIENT_ID}}}", re.ASCII)
# Compared if there is no secret, so that an unknown client takes the same time as a known one.
_DUMMY_HASH = hash_token("a secret that no client has")


class WrongCredentials(Unauthenticated):
    """The account does not exist, is not active, or has another password or secret."""

    def __init__(self) -> None:
        super().__init__("The credentials are wrong.")


@contextmanager
def authenticated_user(email: str, password: str) -> Iterator[User]:
    """Open a transaction and yield the active user with this e-mail address and password.

    Raises `WrongCredentials` or `TooManyRequests`. No transaction is open while the password is
    hashed, which is slow on purpose.
    """
    account = _account_key(email)
    with transaction():
        attempt = login_throttle.begin_attempt(account, request.remote_addr)
    user = db.session.scalars(select(User).where(User.email_folded == account)).one_or_none()
    release_connection()
    stored = user.password_hash if user else None
    is_right = verify_password(password, stored)
    if user is None or not is_right or not user.is_active:
        _reject_login(user.caller_id if user else None)
    rehashed = hash_password(password) if needs_rehash(user.password_hash) else None
    with transaction():
        user = db.session.get(User, user.id, populate_existing=True, with_for_update=True)
        if user is None or user.password_hash != stored or not user.is_active:
            raise WrongCredentials  # changed since it was read above
        attempt.succeed()
        if rehashed is not None:
            user.password_hash = rehashed
        audit.record(audit.Event.LOGIN_SUCCEEDED, subject=user.caller_id, actor=user.caller_id)
        yield user


@contextmanager
def authenticated_client(client_id: str, secret: str) -> Iterator[Client]:
    """Open a transaction and yield the active service client with this id and secret.

    Raises `WrongCredentials` or `TooManyRequests`.
    """
    with transaction():
        login_throttle.check_address(request.remote_addr)
        client = find_client_by_secret(client_id, secret)
        if client is not None:
            audit.record(
                audit.Event.LOGIN_SUCCEEDED, subject=client.caller_id, actor=client.caller_id
            )
            yield client
            return
    record_failed_client(client_id)
    raise WrongCredentials


def find_client(client_id: str) -> Client | None:
    """Return the client with this id. Text that cannot be an id is not sent to the database."""
    return db.session.get(Client, client_id) if _CLIENT_ID.fullmatch(client_id) else None


def find_client_by_secret(client_id: str, secret: str) -> Client | None:
    """Return the active client with this id and secret.

    Locks it for reading: a concurrent rotation or deactivation, which ends all logins of the
    client, happens either before this or after the login that this transaction adds.
    """
    client = get_for_share(Client, client_id) if _CLIENT_ID.fullmatch(client_id) else None
    stored = (client.secret_hash if client else None) or _DUMMY_HASH
    if hmac.compare_digest(stored, hash_token(secret)) and client is not None and client.is_active:
        return client
    return None


def record_failed_client(client_id: str) -> None:
    """Record a failed login of a client, and count it against the address of the request."""
    with transaction():
        login_throttle.charge_address(request.remote_addr)
        client = find_client(client_id)
        audit.record(audit.Event.LOGIN_FAILED, subject=client.caller_id if client else None)


def _account_key(email: str) -> str:
    """Return the form in which addresses are compared. It is empty for an impossible address."""
    email = trim(email)
    return email_key(email) if email.isprintable() and len(email) <= LONGEST_EMAIL else ""


def _reject_login(subject: str | None) -> NoReturn:
    with transaction():
        # The input for an unknown account is not stored: people type passwords into this field.
        audit.record(audit.Event.LOGIN_FAILED, subject=subject)
    raise WrongCredentials
