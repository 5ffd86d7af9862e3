"""Login with JSON for programs, and with a page for people; and logout.

Logins with JSON open no session, so they need no protection against cross-site request forgery. The
page does: its forms contain a token that is stored in the session.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from flask import Response, make_response, redirect, request, session, url_for
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
from automart.oauth.signing_keys import key_ring
from automart.oauth.tokens import issue_tokens
from automart.oauth.views.pages import has_valid_csrf_token, page
from automart.web import Blueprint, Values, public
from automart.web.media_types import FORM, JSON
from automart.web.openapi_document import UNDOCUMENTED
from automart.web.parsing import parse_body

login_blp = Blueprint("login", __name__, description="Logins of programs")

LONGEST_NEXT = 4000
# The page's form is not documented: it is for people.
_LOGIN_BODY = {
    "required": True,
    "content": {
        JSON: {
            "schema": {"oneOf": [PersonLogin, ClientLogin]},
            "example": {"email": "ada@example.com", "password": "correct horse battery"},
        }
    },
}


@login_blp.route("/login")
class LoginPage(MethodView):
    @public
    @login_blp.doc(**UNDOCUMENTED)
    def get(self) -> Response:
        """Get the login page."""
        return _page(request.args.get("next", ""))

    @public
    @login_blp.doc(operationId="logIn", requestBody=_LOGIN_BODY)
    @login_blp.alt_response(200, schema=Token, description="Tokens", success=True)
    @login_blp.alt_response(400, "BAD_REQUEST")
    @login_blp.alt_response(401, "UNAUTHORIZED")
    @login_blp.alt_response(415, "UNSUPPORTED_MEDIA_TYPE")
    @login_blp.alt_response(422, "UNPROCESSABLE_CONTENT")
    @login_blp.alt_response(429, "TOO_MANY_REQUESTS")
    def post(self) -> Response:
        """Get tokens for an e-mail address and password, or for a client's id and secret.

        Logins fail with 429 after repeated failures, for at most a minute.
        """
        if request.mimetype == FORM:
            return _log_in_by_page()
        # A missing key is created in a transaction of its own.
        key_ring().signing_key()
        response = make_response(Token().dump(_log_in_by_json()))
        response.headers["Cache-Control"] = "no-store"
        return response


@login_blp.route("/logout")
class Logout(MethodView):
    @public
    @login_blp.doc(**UNDOCUMENTED)
    def post(self) -> Response:
        """End the session of the login page in this browser."""
        if has_valid_csrf_token():
            _end_session()
        return make_response(redirect(url_for("login.LoginPage"), HTTPStatus.SEE_OTHER))


def _log_in_by_json() -> Values:
    sent = login_blp.ARGUMENTS_PARSER.parse(_login_schema(), request, location="json")
    if "client_id" in sent:
        with authenticated_client(sent["client_id"], sent["client_secret"]) as client:
            login = create_service_login(client)
            return issue_tokens(login, scopes=client.scopes)
    with authenticated_user(sent["email"], sent["password"]) as user:
        return issue_tokens(create_login(user), with_refresh_token=True)


def _login_schema() -> PersonLogin | ClientLogin:
    """Return the schema for the body. It also reports a body that is not a JSON object."""
    sent = parse_body(request)
    is_client = isinstance(sent, dict) and ("client_id" in sent or "client_secret" in sent)
    return ClientLogin() if is_client else PersonLogin()


def _log_in_by_page() -> Response:
    url = request.form.get("next", "")
    email = request.form.get("email", "")
    if not has_valid_csrf_token():
        expired = "The page has expired. Please try again."
        return _page(url, expired, HTTPStatus.BAD_REQUEST, email=email)
    try:
        with authenticated_user(email, request.form.get("password", "")) as user:
            login = create_login(user, lifetime=BROWSER_SESSION_LIFETIME)
    except WrongCredentials as error:
        return _failed(error, "The e-mail address or the password is wrong.", url, email)
    except TooManyRequests as error:
        return _failed(error, error.detail, url, email)
    _end_session()
    session[SESSION_LOGIN] = login.id.hex
    target = url if _is_local(url) else url_for("docs")
    return make_response(redirect(target, HTTPStatus.SEE_OTHER))


def _failed(error: DomainError, text: str, url: str, email: str) -> Response:
    response = _page(url, text, error.status, email=email)
    response.headers.update(error.headers)
    return response


def _page(url: str, problem: str | None = None, status: int = 200, email: str = "") -> Response:
    caller = session_caller()
    return page(
        "login.html",
        status,
        next=url if _is_local(url) else "",
        application=_application_name(url),
        problem=problem,
        email=email,
        user=db.session.get(User, caller.user_id) if caller else None,
    )


def _application_name(url: str) -> str | None:
    """Return the name of the application that requests the login, to show it to the user."""
    client_ids = parse_qs(urlsplit(url).query).get("client_id", [""]) if _is_local(url) else [""]
    client = find_client(client_ids[0])
    return client.name if client else None


def _is_local(url: str) -> bool:
    """Return whether `url` is a path of this server. Other hosts can be disguised in many ways."""
    return (
        len(url) <= LONGEST_NEXT
        and url.startswith("/")
        and not url.startswith("//")
        and url.isascii()
        and url.isprintable()
        and "\\" not in url
    )


def _end_session() -> None:
    """End the login of this browser's session, and clear the session."""
    login_id = session.get(SESSION_LOGIN)
    caller = session_caller()
    session.clear()
    if login_id is None or caller is None:
        return
    with transaction():
        end_login(uuid.UUID(login_id))
        audit.record(audit.Event.LOGIN_ENDED, subject=caller.id, actor=caller.id)
