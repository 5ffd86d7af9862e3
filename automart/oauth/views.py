"""The OAuth 2 endpoints (RFC 6749, 7009), discovery (RFC 8414) and keys (RFC 7517)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.rfc6749.errors import InvalidRequestError, OAuth2Error
from flask import Response, g, make_response, redirect, request, url_for
from flask.views import MethodView

from automart.accounts.credentials import record_failed_client
from automart.accounts.models import GRANTABLE_SCOPES, User
from automart.core.config import current_settings
from automart.core.db import get_or_404, transaction
from automart.oauth import schemas
from automart.oauth.authentication import session_caller
from automart.oauth.schemas import RevocationRequest, TokenRequest
from automart.oauth.server import ALL_METHODS, refusal, server, what_is_malformed
from automart.oauth.signing_keys import key_ring
from automart.oauth.tokens import issuer
from automart.web import Blueprint, absolute_url, public
from automart.web.media_types import FORM, JSON

blp = Blueprint("oauth", __name__, description="OAuth 2 for machines and applications")

CACHED = {"Cache-Control": "public, max-age=300"}
_AUTHORIZATION_PARAMETERS = [
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


def _cached_if_host_is_fixed() -> dict[str, str]:
    """Without PUBLIC_URL the metadata repeat the Host header: no cache may give them to others."""
    settings = current_settings()
    return CACHED if settings.public_url else {"Cache-Control": "no-store"}


def _form(schema: type[Any]) -> dict[str, Any]:
    return {"required": True, "content": {FORM: {"schema": schema}}}


def _error(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {JSON: {"schema": schemas.OAuthError}},
    }


_ERRORS = {"400": _error("Refused"), "401": _error("Not this client, or not its secret")}


@blp.route("/oauth/authorize")
class Authorize(MethodView):
    @public
    @blp.doc(
        parameters=_AUTHORIZATION_PARAMETERS,
        responses={"302": {"description": "To the login page, or back"}, **_ERRORS},
    )
    def get(self) -> Response:
        """Ask a person, in their browser, to act for them (authorization code with PKCE)."""
        return _authorize()

    @public
    @blp.doc(
        requestBody={"content": {FORM: {"schema": {"type": "object"}}}},
        responses={"302": {"description": "To the login page, or back"}, **_ERRORS},
    )
    def post(self) -> Response:
        """The same, with the parameters in the body."""
        return _authorize()


@blp.route("/oauth/token")
class Token(MethodView):
    @public
    @blp.doc(requestBody=_form(TokenRequest), responses=_ERRORS)
    @blp.alt_response(200, schema=schemas.Token, description="Tokens", success=True)
    def post(self) -> Response:
        """Get tokens: for a code, with a client's secret, or for a refresh token."""
        if "grant_type" not in request.form:
            return refusal(InvalidRequestError("Send grant_type in a form-encoded body."))
        key_ring().signing_key()  # made before the transaction, if there is none yet
        return _answer(server.create_token_response)


@blp.route("/oauth/revoke")
class Revocation(MethodView):
    @public
    @blp.doc(
        requestBody=_form(RevocationRequest),
        responses={"200": {"description": "It is good no longer"}, **_ERRORS},
    )
    def post(self) -> Response:
        """End the login that a token belongs to: it and all others of that login are dead."""
        return _answer(lambda: server.create_endpoint_response("revocation"))


@blp.route("/.well-known/oauth-authorization-server")
class ServerMetadata(MethodView):
    @public
    @blp.response(200, schemas.ServerMetadata)
    def get(self) -> tuple[dict[str, Any], int, dict[str, str]]:
        """Where what is (RFC 8414)."""
        metadata = {
            "issuer": issuer(),
            "authorization_endpoint": absolute_url("oauth.Authorize"),
            "token_endpoint": absolute_url("oauth.Token"),
            "revocation_endpoint": absolute_url("oauth.Revocation"),
            "jwks_uri": absolute_url("oauth.Jwks"),
            "scopes_supported": list(GRANTABLE_SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
            "token_endpoint_auth_methods_supported": ALL_METHODS,
            "revocation_endpoint_auth_methods_supported": ALL_METHODS,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "service_documentation": absolute_url("docs"),
        }
        return metadata, 200, _cached_if_host_is_fixed()


@blp.route("/.well-known/jwks.json")
class Jwks(MethodView):
    @public
    @blp.response(200, schemas.Jwks)
    def get(self) -> tuple[dict[str, Any], int, dict[str, str]]:
        """The public keys that verify access tokens (RFC 7517)."""
        return {"keys": key_ring().published()}, 200, CACHED


def _authorize() -> Response:
    malformed = what_is_malformed()
    if malformed is not None:
        return refusal(malformed)
    try:
        grant = server.get_consent_grant()
    except OAuth2Error as error:
        return refusal(error)
    caller = session_caller()
    if caller is None:
        return _login_first()
    # Applications are registered by administrators, with addresses that are theirs, so nobody is
    # asked again whether they want to use the one that they have just opened.
    with transaction():
        user = get_or_404(User, caller.user_id)
        response: Response = server.create_authorization_response(grant=grant, grant_user=user)
    return response


def _login_first() -> Response:
    """To the login page, and from there back here."""
    sent = request.form if request.method == "POST" else request.args
    here = f"{url_for('oauth.Authorize')}?{urlencode(sent.to_dict())}"
    return make_response(redirect(url_for("login.LoginPage", next=here)))


def _answer(create: Any) -> Response:
    """What `create` answers, and what it has stored; no cache may keep it."""
    malformed = what_is_malformed()
    if malformed is not None:
        return refusal(malformed)
    with transaction():
        response: Response = create()
    failed_client = g.pop("failed_client", None)
    if failed_client is not None:
        record_failed_client(failed_client)
    response.headers["Cache-Control"] = "no-store"
    return response
