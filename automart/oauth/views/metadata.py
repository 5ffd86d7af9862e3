"""Authorization server metadata (RFC 8414) and public keys (RFC 7517)."""

from __future__ import annotations

from flask.views import MethodView

from automart.accounts.models import GRANTABLE_SCOPES
from automart.core.config import current_settings
from automart.oauth import schemas
from automart.oauth.clients import AUTHENTICATION_METHODS
from automart.oauth.signing_keys import key_ring
from automart.oauth.tokens import issuer
from automart.oauth.views.blueprint import blp
from automart.web import Answer, absolute_url, public

CACHED = {"Cache-Control": "public, max-age=300"}


@blp.route("/.well-known/oauth-authorization-server")
class ServerMetadata(MethodView):
    @public
    @blp.response(200, schemas.ServerMetadata)
    @blp.doc(operationId="getServerMetadata")
    def get(self) -> Answer:
        """Get the OAuth 2 authorization server metadata (RFC 8414)."""
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
            "token_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
            "revocation_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "service_documentation": absolute_url("docs"),
        }
        # Without PUBLIC_URL the URLs contain the Host header of this client: a cache must not
        # serve them to others.
        cached = CACHED if current_settings().public_url else {"Cache-Control": "no-store"}
        return metadata, 200, cached


@blp.route("/.well-known/jwks.json")
class Jwks(MethodView):
    @public
    @blp.response(200, schemas.Jwks)
    @blp.doc(operationId="getSigningKeys")
    def get(self) -> Answer:
        """Get the public keys that verify access tokens (RFC 7517)."""
        return {"keys": key_ring().published()}, 200, CACHED
