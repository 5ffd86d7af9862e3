"""Logging in: as JSON for programs, as a page for people; and logging out.

The JSON form opens no session and needs no protection against foreign forms; the page does, with a
token in the session that every form repeats.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Response, make_response, redirect, render_template, request, session, url_for
from flask.views import MethodView

from automart.accounts import audit
from automart.accounts.credentials import (
    WrongCredentials,
    authenticated_client,
    authenticated_user,
    find_client,
)
from automart.accounts.models import User
from automart.accounts.sessions import (
    BROWSER_SESSION_LIFETIME,
    create_login,
    create_service_login,
    end_login,
)
from automart.core.db import db, transaction
from automart.core.errors import DomainError, TooManyRequests
from automart.oauth.authentication import SESSION_LOGIN, session_caller
from automart.oauth.schemas import ClientLogin, PersonLogin, Token
from automart.oauth.server import tokens_of
from automart.oauth.signing_keys import key_ring
from automart.web import Blueprint, public
from automart.web.media_types import FORM, HTML, JSON

blp = Blueprint("login", __name__, description="Logging in")

SESSION_CSRF = "csrf"
LONGEST_NEXT = 4000
_PAGE = {"description": "The page", "content": {HTML: {"schema": {"type": "string"}}}}
_LOGIN_BODY = {
    "required": True,
    "content": {
        JSON: {"schema": {"oneOf": [PersonLogin, ClientLogin]}},
        FORM: {"schema": {"type": "object"}},
    },
}


@blp.route("/login")
class LoginPage(MethodView):
    @public
    @blp.doc(
        parameters=[{"name": "next", "in": "query", "schema": {"type": "string"}}],
        responses={"200": _PAGE},
    )
    def get(self) -> Response:
        """The login page."""
        return _page(request.args.get("next", ""))

    @public
    @blp.doc(requestBody=_LOGIN_BODY, responses={"303": {"description": "Logged in by the page"}})
    @blp.alt_response(200, schema=Token, description="Tokens", success=True)
    @blp.alt_response(400, "BAD_REQUEST")
    @blp.alt_response(401, "UNAUTHORIZED")
    @blp.alt_response(415, "UNSUPPORTED_MEDIA_TYPE")
    @blp.alt_response(422, "UNPROCESSABLE_CONTENT")
    @blp.alt_response(429, "TOO_MANY_REQUESTS")
    def post(self) -> Response:
        """Log in with e-mail and password, or with a client's id and secret, and get tokens."""
        if request.mimetype == FORM:
            return _by_page()
        key_ring().signing_key()  # made before the transaction, if there is none yet
        response = make_response(_by_json())
        response.headers["Cache-Control"] = "no-store"
        return response


@blp.route("/logout")
class Logout(MethodView):
    @public
    @blp.doc(
        requestBody={"content": {FORM: {"schema": {"type": "object"}}}},
        responses={"303": {"description": "To the login page"}},
    )
    def post(self) -> Response:
        """End the session that the login page has opened in this browser."""
        if _is_our_form():
            _end_session()
        return make_response(redirect(url_for("login.LoginPage"), HTTPStatus.SEE_OTHER))


def _by_json() -> dict[str, Any]:
    sent = blp.ARGUMENTS_PARSER.parse(_login_schema(), request, location="json")
    if "client_id" in sent:
        with authenticated_client(sent["client_id"], sent["client_secret"]) as client:
            login = create_service_login(client)
            return _told(tokens_of(login, scopes=client.scopes))
    with authenticated_user(sent["email"], sent["password"]) as user:
        return _told(tokens_of(create_login(user), with_refresh_token=True))


def _login_schema() -> PersonLogin | ClientLogin:
    """Whom the body is about. What is no JSON object is told by the schema."""
    sent = request.get_json(silent=True)
    is_machine = isinstance(sent, dict) and ("client_id" in sent or "client_secret" in sent)
    return ClientLogin() if is_machine else PersonLogin()


def _told(tokens: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = Token().dump(tokens)
    return told


def _by_page() -> Response:
    where = request.form.get("next", "")
    email = request.form.get("email", "")
    if not _is_our_form():
        return _page(where, "The page was open for too long. Please try again.", 400, email=email)
    try:
        with authenticated_user(email, request.form.get("password", "")) as user:
            login = create_login(user, lifetime=BROWSER_SESSION_LIFETIME)
    except (WrongCredentials, TooManyRequests) as error:
        return _refused(error, where, email)
    _end_session()
    session[SESSION_LOGIN] = login.id.hex
    target = where if _is_local(where) else url_for("docs")
    return make_response(redirect(target, HTTPStatus.SEE_OTHER))


def _refused(error: DomainError, where: str, email: str) -> Response:
    if isinstance(error, TooManyRequests):
        words = error.detail
    else:
        words = "The e-mail address or the password is wrong."
    response = _page(where, words, error.status, email=email)
    response.headers.update(error.headers)
    return response


def _page(where: str, problem: str | None = None, status: int = 200, email: str = "") -> Response:
    nonce = secrets.token_urlsafe(16)
    caller = session_caller()
    page = render_template(
        "login.html",
        csrf_token=_csrf_token(),
        next=where if _is_local(where) else "",
        application=_application_of(where),
        problem=problem,
        email=email,
        user=db.session.get(User, caller.user_id) if caller else None,
        nonce=nonce,
    )
    response = make_response(page, status)
    response.headers["Cache-Control"] = "no-store"
    # No form-action: browsers apply it to where the application is sent back to as well.
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _application_of(where: str) -> str | None:
    """The name of the application that waits, so that people see whom they let in."""
    named = parse_qs(urlsplit(where).query).get("client_id", [""]) if _is_local(where) else [""]
    client = find_client(named[0])
    return client.name if client else None


def _is_local(where: str) -> bool:
    """Whether `where` is a path of ours; another host could be disguised in many ways."""
    return (
        len(where) <= LONGEST_NEXT
        and where.startswith("/")
        and not where.startswith("//")
        and where.isascii()
        and where.isprintable()
        and "\\" not in where
    )


def _csrf_token() -> str:
    if SESSION_CSRF not in session:
        session[SESSION_CSRF] = secrets.token_urlsafe(16)
    token: str = session[SESSION_CSRF]
    return token


def _is_our_form() -> bool:
    expected = session.get(SESSION_CSRF, "")
    sent = request.form.get("csrf_token", "")
    return bool(expected) and hmac.compare_digest(expected.encode(), sent.encode())


def _end_session() -> None:
    """End the login behind this browser's session, and forget the session itself."""
    login_id = session.get(SESSION_LOGIN)
    caller = session_caller()
    session.clear()
    if login_id is None or caller is None:
        return
    with transaction():
        end_login(uuid.UUID(login_id))
        audit.record(audit.Event.LOGIN_ENDED, subject=caller.id, actor=caller.id)
