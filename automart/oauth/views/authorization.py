"""The authorization endpoint (RFC 6749 §3.1)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidRequestError,
    OAuth2Error,
    UnsupportedResponseTypeError,
)
from flask import Response, make_response, redirect, request, url_for
from flask.views import MethodView

from automart.accounts.models import Client, User
from automart.core.db import get_or_404, transaction
from automart.oauth.authentication import session_caller
from automart.oauth.requests import find_malformed_parameter, parameters
from automart.oauth.schemas import ECHOED_PATTERN, PKCE_PATTERN
from automart.oauth.server import append_to_redirect_uri, error_response, server
from automart.oauth.views.blueprint import ERRORS, blp
from automart.oauth.views.pages import has_valid_csrf_token, page
from automart.web import public
from automart.web.media_types import FORM, HTML
from automart.web.openapi_conventions import unversioned

_NO_SCOPE = {"pattern": r"^\s*$"}
_CLIENT_ID = {"minLength": 1, "pattern": ECHOED_PATTERN}
_PROPERTIES: dict[str, dict[str, Any]] = {
    name: {"type": "string"} | schema | {"description": description}
    for name, schema, description in (
        ("response_type", {"enum": ["code"]}, "`code`."),
        ("client_id", _CLIENT_ID, "The id of the application."),
        ("redirect_uri", {"format": "uri"}, "One of the redirect URIs of the application."),
        ("code_challenge", {"pattern": PKCE_PATTERN}, "The challenge of PKCE (RFC 7636)."),
        ("code_challenge_method", {"enum": ["S256"]}, "`S256`."),
        ("state", {}, "A value that is sent back with the code."),
        ("scope", _NO_SCOPE, "Applications have no scopes: only blanks are accepted."),
    )
}
_OPTIONAL = {"state", "scope"}
_PARAMETERS = [
    {
        "name": name,
        "in": "query",
        "required": name not in _OPTIONAL,
        "schema": {key: schema[key] for key in schema if key != "description"},
        "description": schema["description"],
    }
    for name, schema in _PROPERTIES.items()
]
_FORM = {
    "type": "object",
    "required": [name for name in _PROPERTIES if name not in _OPTIONAL],
    "properties": _PROPERTIES,
}
_RESPONSES = {
    "200": {
        "description": "The page that asks for consent, for a native application",
        "content": {HTML: {"schema": {"type": "string"}}},
    },
    "302": {
        "description": "To the login page, or back to the application",
        "headers": {
            "Location": {
                "description": "The page, or the application's redirect URI with the code.",
                "schema": {"type": "string"},
            }
        },
    },
    "400": ERRORS["400"],
    "default": ERRORS["default"],
}


@blp.route("/oauth/authorize")
class Authorize(MethodView):
    @public
    @unversioned
    @blp.doc(operationId="requestAuthorization", parameters=_PARAMETERS, responses=_RESPONSES)
    def get(self) -> Response:
        """Request an authorization code in the browser of a user. PKCE is required.

        Users who are not logged in are sent to the login page first.
        """
        return _authorize()

    @public
    @blp.doc(
        operationId="requestAuthorizationByForm",
        requestBody={"content": {FORM: {"schema": _FORM}}, "required": True},
        responses=_RESPONSES,
    )
    def post(self) -> Response:
        """Request an authorization code, with the parameters in the body."""
        return _authorize()


def _authorize() -> Response:
    malformed = find_malformed_parameter()
    if malformed is not None:
        return error_response(malformed)
    # Otherwise any script on a page of this origin could get a token of the user unnoticed.
    if request.headers.get("Sec-Fetch-Dest", "document") != "document":
        return error_response(InvalidRequestError("Must be opened in a window, not by a script."))
    try:
        grant = server.get_consent_grant()
    except OAuth2Error as error:
        return error_response(_as_standardized(error))
    caller = session_caller()
    if caller is None:
        return _redirect_to_login()
    user = get_or_404(User, caller.user_id)
    redirect_uri = grant.request.payload.redirect_uri
    if grant.client.needs_consent(redirect_uri):
        decision = request.form.get("consent") if has_valid_csrf_token() else None
        if decision is None:
            return _ask_for_consent(grant.client.client, user)
        if decision != "yes":
            state = grant.request.payload.state
            return error_response(AccessDeniedError(redirect_uri=redirect_uri, state=state))
    # Administrators register the others with their https addresses. They need no consent.
    with transaction():
        user = get_or_404(User, caller.user_id)
        response: Response = server.create_authorization_response(grant=grant, grant_user=user)
    append_to_redirect_uri(response, redirect_uri)
    return response


def _as_standardized(error: OAuth2Error) -> OAuth2Error:
    """Return the error of RFC 6749 §4.1.2.1. Authlib takes an omitted response type for a wrong
    one."""
    if not isinstance(error, UnsupportedResponseTypeError) or "response_type" in parameters():
        return error
    return InvalidRequestError(
        "Missing 'response_type' in request.", redirect_uri=error.redirect_uri, state=error.state
    )


def _ask_for_consent(client: Client, user: User) -> Response:
    """Return a page that sends the same request again, with the decision of the user."""
    return page("consent.html", application=client.name, user=user, parameters=_parameters())


def _redirect_to_login() -> Response:
    """Redirect to the login page, which redirects to the same request afterwards."""
    url = f"{url_for('oauth.Authorize')}?{urlencode(_parameters())}"
    return make_response(redirect(url_for("login.LoginPage", next=url)))


def _parameters() -> dict[str, str]:
    """Return the parameters of the application, without those of the form of the page."""
    return {
        name: value for name, value in parameters().items() if name not in ("csrf_token", "consent")
    }
