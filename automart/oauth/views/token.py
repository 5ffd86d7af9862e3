"""The token endpoint (RFC 6749 §3.2) and the revocation endpoint (RFC 7009)."""

from __future__ import annotations

from collections.abc import Callable

from authlib.oauth2.rfc6749.errors import InvalidRequestError
from flask import Response
from flask.views import MethodView

from automart.core.db import transaction
from automart.oauth import schemas
from automart.oauth.clients import record_failed_authentication
from automart.oauth.requests import (
    find_malformed_parameter,
    has_basic_authentication,
    parameters,
)
from automart.oauth.server import error_response, server
from automart.oauth.signing_keys import key_ring
from automart.oauth.views.blueprint import ERRORS, blp, form_body
from automart.web import public
from automart.web.media_types import JSON
from automart.web.openapi_headers import references

_REVOKED = {
    "description": "The token is invalid now",
    "content": {JSON: {"schema": {"type": "object"}, "example": {}}},
    "headers": references("ETag"),
}


@blp.route("/oauth/token")
class Token(MethodView):
    @public
    @blp.doc(
        operationId="createToken",
        requestBody=form_body(schemas.TokenRequest),
        responses=ERRORS,
    )
    @blp.alt_response(200, schema=schemas.Token, description="Tokens", success=True)
    def post(self) -> Response:
        """Get tokens for an authorization code, a client secret or a refresh token."""
        if "grant_type" not in parameters():
            return error_response(InvalidRequestError("Send grant_type in a form-encoded body."))
        # A missing key is created in a transaction of its own.
        key_ring().signing_key()
        return _respond(server.create_token_response)


@blp.route("/oauth/revoke")
class Revocation(MethodView):
    @public
    @blp.doc(
        operationId="revokeToken",
        requestBody=form_body(schemas.RevocationRequest),
        responses={"200": _REVOKED, **ERRORS},
    )
    def post(self) -> Response:
        """Revoke a token. This ends its login, so all other tokens of that login become invalid."""
        return _respond(lambda: server.create_endpoint_response("revocation"))


def _respond(create: Callable[[], Response]) -> Response:
    """Return what `create` returns, after it was committed. No cache may store it."""
    malformed = find_malformed_parameter()
    if malformed is not None:
        return error_response(malformed)
    if has_basic_authentication() and "client_secret" in parameters():
        return error_response(InvalidRequestError("Authenticate in one way only."))
    with transaction():
        response = create()
    record_failed_authentication()
    response.headers["Cache-Control"] = "no-store"
    return response
