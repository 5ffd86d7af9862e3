"""Who is calling, for all views: `requires`, `public`, `current_caller`.

A bearer token is verified (`tokens`), and what may have changed since it was issued is read with
each request, in one query: whether the login, the user and the client still are, and what they may.
"""

from __future__ import annotations

import uuid

import structlog
from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface
from sqlalchemy import bindparam, select

from automart.accounts.models import Client, Login, User
from automart.core.db import db, utcnow
from automart.core.errors import Unauthenticated
from automart.oauth.signing_keys import KeyRing
from automart.oauth.tokens import AccessToken, VerifiedTokens, verify_access_token
from automart.web.authorization import (
    Caller,
    use_authentication,
)
from automart.web.urls import url_root

log = structlog.get_logger(__name__)

SESSION_LOGIN = "login"
"""Where the browser session keeps the id of its login."""

_STANDING = (
    select(
        Login.user_id,
        Login.client_id,
        User.is_active,
        User.is_admin,
        Client.is_active,
        Client.scopes,
    )
    .join(Client, Client.id == Login.client_id)
    .outerjoin(User, User.id == Login.user_id)
    .where(
        Login.id == bindparam("login_id"),
        Login.ended_at.is_(None),
        Login.expires_at > bindparam("now"),
    )
)


class _Sessions(SecureCookieSessionInterface):
    """Sessions of the login page, whose cookie goes over TLS alone where there is TLS."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return url_root().startswith("https:") or request.is_secure


def init_auth(app: Flask) -> None:
    """Recognize the callers of `app` by their bearer tokens."""
    app.extensions["key_ring"] = KeyRing()
    app.extensions["verified_tokens"] = VerifiedTokens()
    app.session_interface = _Sessions()
    use_authentication(app, authenticate, session_caller)


def authenticate() -> Caller:
    """Who sent the bearer token of the present request. Raises `Unauthenticated`."""
    try:
        return _bearer()
    except Unauthenticated as error:
        log.warning("access_denied", caller=None, reason=error.detail, path=request.path)
        raise


def token_subject() -> str | None:
    """Whom the present request's bearer token names, without a query; None without a good token."""
    try:
        return verify_access_token(_bearer_token()).subject
    except Unauthenticated:
        return None


def session_caller() -> Caller | None:
    """Who is logged in by the login page in this browser, if anyone is."""
    login_id = session.get(SESSION_LOGIN)
    return _caller(uuid.UUID(login_id)) if login_id else None


def _bearer() -> Caller:
    token = verify_access_token(_bearer_token())
    caller = _caller(token.login_id, token)
    if caller is None:
        raise Unauthenticated("This login has ended.", error="invalid_token")
    return caller


def _caller(login_id: uuid.UUID, token: AccessToken | None = None) -> Caller | None:
    row = db.session.execute(_STANDING, {"login_id": login_id, "now": utcnow()}).one_or_none()
    if row is None:
        return None
    user_id, client_id, user_is_active, user_is_admin, client_is_active, client_scopes = row
    if not client_is_active:
        return None
    if user_id is None:
        scopes = token.scopes.intersection(client_scopes) if token else frozenset[str]()
        return Caller(f"client:{client_id}", None, client_id, False, scopes, login_id)
    if not user_is_active:
        return None
    return Caller(f"user:{user_id}", user_id, None, user_is_admin, frozenset(), login_id)


def _bearer_token() -> str:
    header = request.headers.get("Authorization")
    if header is None:
        raise Unauthenticated("Send an access token: Authorization: Bearer …")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Send an access token: Authorization: Bearer …")
    return token.strip()
