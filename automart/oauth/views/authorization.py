"""The authorization endpoint (RFC 6749 §3.1)."""

from __future__ import annotations

from urllib.parse import urlencode

from authlib.oauth2.rfc6749.errors import InvalidRequestError, OAuth2Error
from flask import Response, make_response, redirect, request, url_for
from flask.views import MethodView

from automart.accounts.models import User
from automart.core.db import get_or_404, transaction
from automart.oauth.authentication import session_caller
from automart.oauth.requests import find_malformed_parameter
from automart.oauth.server import error_response, server
from automart.oauth.views.blueprint import ERRORS, blp
from automart.web import public
from automart.web.media_types import FORM

_PARAMETERS = [
    {"name": name, "in": "query", "required": required, "schema": {"type": "string"}}
    for name, required in (
        ("response_type", True),
        ("client_id", True),
        ("redirect_uri", True),
        ("code_challenge", True),
        ("code_challenge_method", True),
        ("state", False),
        ("scope", False),
    )
]
_RESPONSES = {
    "302": {"description": "To the login page, or back to the application"},
    **ERRORS,
}


@blp.route("/oauth/authorize")
class Authorize(MethodView):
    @public
    @blp.doc(operationId="requestAuthorization", parameters=_PARAMETERS, responses=_RESPONSES)
    def get(self) -> Response:
        """Request an authorization code in the browser of a user. PKCE is required.

        Users who are not logged in are sent to the login page first.
        """
        return _authorize()

    @public
    @blp.doc(
        operationId="requestAuthorizationByForm",
        requestBody={"content": {FORM: {"schema": {"type": "object"}}}},
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
        return error_response(error)
    caller = session_caller()
    if caller is None:
        return _redirect_to_login()
    # There is no consent page: administrators register all applications and their redirect URIs,
    # and users have just opened the application themselves.
    with transaction():
        user = get_or_404(User, caller.user_id)
        response: Response = server.create_authorization_response(grant=grant, grant_user=user)
    return response


def _redirect_to_login() -> Response:
    """Redirect to the login page, which redirects to the same request afterwards."""
    sent = request.form if request.method == "POST" else request.args
    url = f"{url_for('oauth.Authorize')}?{urlencode(sent.to_dict())}"
    return make_response(redirect(url_for("login.LoginPage", next=url)))
