"""Logins: begun by proving who one is, ended by oneself, by an admin, or by a thief's mistake."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import timedelta

from sqlalchemy import update

from automart.accounts.models import LOGIN_CLIENT, Client, Login, RefreshToken, User
from automart.core.db import db, rowcount, utcnow

TOKEN_LIFETIME = timedelta(minutes=15)
"""How long an access token is valid."""

# However often it is refreshed, a login ends then, and the person proves anew who they are.
LOGIN_LIFETIME = timedelta(days=30)
SESSION_LIFETIME = timedelta(hours=12)


def begin_login(
    user: User | None, client_id: str = LOGIN_CLIENT, *, lifetime: timedelta = LOGIN_LIFETIME
) -> Login:
    """A login of `user` by means of an application, in the present transaction."""
    now = utcnow()
    login = Login(
        id=uuid.uuid4(),
        user_id=user.id if user else None,
        client_id=client_id,
        created_at=now,
        expires_at=now + lifetime,
    )
    db.session.add(login)
    db.session.flush()  # tokens refer to it
    return login


def begin_machine_login(client: Client) -> Login:
    """A login of a machine, which gets one access token and no refresh token."""
    return begin_login(None, client.id, lifetime=TOKEN_LIFETIME)


def end_login(login_id: uuid.UUID) -> bool:
    """End a login, and everything given out on it. False if it has ended before."""
    mine = update(Login).where(Login.id == login_id, Login.ended_at.is_(None))
    return bool(rowcount(mine.values(ended_at=utcnow())))


def end_logins_of_user(user_id: int, *, but: uuid.UUID | None = None) -> int:
    """End all logins of a user, or all but the present one. Answers how many."""
    theirs = update(Login).where(Login.user_id == user_id, Login.ended_at.is_(None))
    if but is not None:
        theirs = theirs.where(Login.id != but)
    return rowcount(theirs.values(ended_at=utcnow()))


def end_logins_of_client(client_id: str) -> int:
    """End all logins by means of a client. Answers how many."""
    theirs = update(Login).where(Login.client_id == client_id, Login.ended_at.is_(None))
    return rowcount(theirs.values(ended_at=utcnow()))


def issue_refresh_token(login: Login) -> str:
    """A refresh token of `login`. Stored as its hash alone."""
    token = secrets.token_urlsafe(32)
    db.session.add(RefreshToken(token_hash=hash_of(token), login_id=login.id))
    return token


def hash_of(token: str) -> str:
    """How a random token is stored. It has 256 bits of its own, so a plain hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
