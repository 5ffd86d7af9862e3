"""Logins: created on authentication; ended by logout, an administrator, or detected token reuse."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta

from flask import has_request_context, request
from sqlalchemy import Select, select, update
from sqlalchemy.orm import joinedload

from automart.accounts.models import LOGIN_CLIENT, Client, Login, User
from automart.core.db import db, rowcount, utcnow

TOKEN_LIFETIME = timedelta(minutes=15)
"""The lifetime of an access token."""

# A login ends after this time, however often it is refreshed. Then the user has to log in again.
LOGIN_LIFETIME = timedelta(days=30)
BROWSER_SESSION_LIFETIME = timedelta(hours=12)
# `last_used_at` is not updated more often, so that not every request writes.
USE_RECORDED_EVERY = TOKEN_LIFETIME


def create_login(
    user: User | None, client_id: str = LOGIN_CLIENT, *, lifetime: timedelta = LOGIN_LIFETIME
) -> Login:
    """Add a login of `user` with an application."""
    now = utcnow()
    login = Login(
        user_id=user.id if user else None,
        client_id=client_id,
        created_at=now,
        expires_at=now + lifetime,
        last_used_at=now,
        address=request.remote_addr if has_request_context() else None,
    )
    db.session.add(login)
    db.session.flush()  # tokens refer to it
    return login


def create_service_login(client: Client) -> Login:
    """Add a login of a service client. It lives as long as its only access token."""
    return create_login(None, client.id, lifetime=TOKEN_LIFETIME)


def active_logins_of_user(user_id: int) -> Select[Login]:
    """Return a query of the logins of a user that have not ended, with their clients."""
    active = select(Login).where(
        Login.user_id == user_id, Login.ended_at.is_(None), Login.expires_at > utcnow()
    )
    return active.options(joinedload(Login.client))


def record_use(login_id: uuid.UUID) -> None:
    """Set the time when a login was last used to now."""
    db.session.execute(update(Login).where(Login.id == login_id).values(last_used_at=utcnow()))


def end_login(login_id: uuid.UUID) -> bool:
    """End a login, and with it its tokens. Return False if it has already ended."""
    login = update(Login).where(Login.id == login_id, Login.ended_at.is_(None))
    return bool(rowcount(login.values(ended_at=utcnow())))


def end_logins_of_user(user_id: int, *, except_id: uuid.UUID | None = None) -> int:
    """End all logins of a user, except one. Return their number."""
    logins = update(Login).where(Login.user_id == user_id, Login.ended_at.is_(None))
    if except_id is not None:
        logins = logins.where(Login.id != except_id)
    return rowcount(logins.values(ended_at=utcnow()))


def end_logins_of_client(client_id: str) -> int:
    """End all logins with a client. Return their number."""
    logins = update(Login).where(Login.client_id == client_id, Login.ended_at.is_(None))
    return rowcount(logins.values(ended_at=utcnow()))


def hash_token(token: str) -> str:
    """Return the hash under which a random token is stored.

    A plain hash is enough, because tokens have 256 random bits.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
