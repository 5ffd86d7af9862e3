"""Identifies callers by their bearer token, or by the session of the login page.

A token is verified (`tokens`). What can have changed since it was issued is read with each request,
by one query: the login, the user and the client, and their rights.
"""

from __future__ import annotations

import uuid
from typing import Any

import structlog
from flask import Flask, Request, Response, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import SignatureExpired, TimestampSigner, URLSafeTimedSerializer
from sqlalchemy import bindparam, func, select

from automart.accounts.models import Client, Login, User
from automart.accounts.sessions import USE_RECORDED_EVERY, record_use
from automart.core.compiled_statement import CompiledStatement
from automart.core.db import read, table_of, transaction, utcnow
from automart.core.errors import Unauthenticated
from automart.oauth.signing_keys import KeyRing
from automart.oauth.tokens import (
    CLOCK_TOLERANCE_SECONDS,
    AccessToken,
    VerifiedTokens,
    verify_access_token,
)
from automart.web.authorization import (
    Caller,
    use_authentication,
)
from automart.web.urls import url_root

log = structlog.get_logger(__name__)

SESSION_LOGIN = "login"
"""The key of the id of the login in the browser session."""

# Executed by every request.
_LOGIN, _USER, _CLIENT = table_of(Login), table_of(User), table_of(Client)
_ACTIVE_LOGIN = CompiledStatement(
    select(
        _LOGIN.c.user_id,
        _LOGIN.c.client_id,
        _USER.c.is_active.label("user_is_active"),
        _USER.c.is_admin.label("user_is_admin"),
        _CLIENT.c.is_active.label("client_is_active"),
        _CLIENT.c.scopes.label("client_scopes"),
        func.coalesce(_LOGIN.c.last_used_at, _LOGIN.c.created_at).label("last_use"),
    )
    .select_from(
        _LOGIN.join(_CLIENT, _CLIENT.c.id == _LOGIN.c.client_id).outerjoin(
            _USER, _USER.c.id == _LOGIN.c.user_id
        )
    )
    .where(
        _LOGIN.c.id == bindparam("login_id"),
        _LOGIN.c.ended_at.is_(None),
        _LOGIN.c.expires_at > bindparam("now"),
    )
)


class _TolerantSigner(TimestampSigner):
    """Accepts signatures that are from the near future. For the serializer, which passes both
    arguments."""

    def unsign(  # type: ignore[override]  # it has overloads
        self, signed_value: str | bytes, *, max_age: int, return_timestamp: bool
    ) -> Any:
        value, signed_at = super().unsign(signed_value, return_timestamp=True)
        age = self.get_timestamp() - signed_at.timestamp()
        if not -CLOCK_TOLERANCE_SECONDS <= age <= max_age:
            raise SignatureExpired("The session is too old, or from the future.")
        return value, signed_at


class BrowserSessions(SecureCookieSessionInterface):
    """The sessions of the login page. Their cookie is sent only over TLS if there is TLS."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Return a serializer that also accepts the cookies of hosts whose clock is ahead."""
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = _TolerantSigner
        return serializer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of the cookie. Most requests have none, and need no signatures."""
        if "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie, unless nothing has used the session."""
        if session or session.accessed or session.modified:
            super().save_session(app, session, response)

    def get_cookie_name(self, app: Flask) -> str:
        """Add the prefix with which browsers accept the cookie from this host and over TLS only."""
        name = super().get_cookie_name(app)
        return f"__Host-{name}" if self.get_cookie_secure(app) else name

    def get_cookie_secure(self, app: Flask) -> bool:
        return url_root().startswith("https:") or request.is_secure


def init_auth(app: Flask) -> None:
    """Identify the callers of `app` by their bearer tokens and browser sessions."""
    app.extensions["key_ring"] = KeyRing()
    app.extensions["verified_tokens"] = VerifiedTokens()
    app.session_interface = BrowserSessions()
    use_authentication(app, authenticate, session_caller)


def authenticate() -> Caller:
    """Return the sender of the current request by its bearer token. Raises `Unauthenticated`."""
    try:
        return _bearer_caller()
    except Unauthenticated as error:
        log.warning("access_denied", caller=None, reason=error.detail, path=request.path)
        raise


def token_subject() -> str | None:
    """Return the subject of the request's bearer token, or None without a valid one.

    Does not query the database, so the login may have ended.
    """
    try:
        return verify_access_token(_bearer_token()).subject
    except Unauthenticated:
        return None


def session_caller() -> Caller | None:
    """Return the user who has logged in on the login page in this browser."""
    login_id = session.get(SESSION_LOGIN)
    return _find_caller(uuid.UUID(login_id)) if login_id else None


def _bearer_caller() -> Caller:
    token = verify_access_token(_bearer_token())
    caller = _find_caller(token.login_id, token)
    if caller is None:
        raise Unauthenticated("The login has ended. Log in again.", error="invalid_token")
    return caller


def _find_caller(login_id: uuid.UUID, token: AccessToken | None = None) -> Caller | None:
    now = utcnow()
    rows = read(_ACTIVE_LOGIN, login_id=login_id, now=now)
    if not rows or not rows[0].client_is_active:
        return None
    (row,) = rows
    if row.user_id is None:
        scopes = token.scopes.intersection(row.client_scopes) if token else frozenset[str]()
        return Caller(f"client:{row.client_id}", None, row.client_id, False, scopes, login_id)
    if not row.user_is_active:
        return None
    # The use of tokens is recorded when they are refreshed.
    if token is None and now - row.last_use > USE_RECORDED_EVERY:
        with transaction():
            record_use(login_id)
    return Caller(
        f"user:{row.user_id}", row.user_id, None, row.user_is_admin, frozenset(), login_id
    )


def _bearer_token() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Send an access token: `Authorization: Bearer TOKEN`.")
    return token.strip()
