"""Logins, tokens and metadata, as the API takes and shows them."""

from __future__ import annotations

from marshmallow import EXCLUDE, fields, validate

from automart.accounts.fields import Secret
from automart.web import Output, Schema

PKCE_PATTERN = r"^[A-Za-z0-9._~-]{43,128}$"
"""The form of challenges and verifiers (RFC 7636 §4.1)."""
ECHOED_PATTERN = r"^[ !#-\[\]-~]*$"
"""The form of values that error descriptions may contain (RFC 6749 §5.2)."""


class PersonLogin(Schema):
    """The login of a user."""

    email = fields.String(
        required=True, metadata={"description": "The e-mail address of the user."}
    )
    password = Secret(required=True, metadata={"description": "The password."})


class ClientLogin(Schema):
    """The login of a service client."""

    client_id = fields.String(
        required=True, metadata={"description": "The id of the service client."}
    )
    client_secret = Secret(
        required=True, metadata={"description": "The secret of the service client."}
    )


class Token(Output):
    """Tokens (RFC 6749 §5.1). Service clients get no refresh token."""

    access_token = fields.String(
        metadata={"description": "The token for the `Authorization` header."}
    )
    token_type = fields.String(metadata={"description": "`Bearer`."})
    expires_in = fields.Integer(
        metadata={"description": "The seconds for which the access token is valid."}
    )
    refresh_token = fields.String(
        metadata={
            "description": "The token to get new tokens with, once. Service clients get none.",
            "optional": True,
        }
    )
    scope = fields.String(
        metadata={
            "description": "The scopes of a service client, separated by blanks.",
            "optional": True,
        }
    )


class OAuthError(Output):
    """An error (RFC 6749 §5.2)."""

    error = fields.String(
        metadata={"description": "The code of the error, such as `invalid_grant`."}
    )
    error_description = fields.String(
        metadata={"description": "What went wrong.", "optional": True}
    )
    error_uri = fields.String(metadata={"description": "A page about the error.", "optional": True})


class OAuthForm(Schema):
    """The body of a request. Unknown parameters are ignored (RFC 6749 §3.2)."""

    class Meta(Schema.Meta):
        unknown = EXCLUDE


class TokenRequest(OAuthForm):
    """A token request (RFC 6749)."""

    grant_type = fields.String(
        required=True,
        validate=validate.OneOf(["authorization_code", "client_credentials", "refresh_token"]),
        metadata={"description": "What the tokens are requested for."},
    )
    client_id = fields.String(
        metadata={
            "pattern": ECHOED_PATTERN,
            "description": "The id of the client, unless it uses HTTP Basic.",
        }
    )
    client_secret = Secret(
        metadata={"description": "The secret of a service client, unless it uses HTTP Basic."}
    )
    code = fields.String(metadata={"description": "The authorization code."})
    redirect_uri = fields.String(
        metadata={
            "pattern": ECHOED_PATTERN,
            "description": "The redirect URI of the authorization request.",
        }
    )
    code_verifier = fields.String(
        metadata={"pattern": PKCE_PATTERN, "description": "The verifier of PKCE (RFC 7636)."}
    )
    refresh_token = fields.String(metadata={"description": "The refresh token."})
    scope = fields.String(
        metadata={"description": "The scopes, separated by blanks. By default all of the client."}
    )


class RevocationRequest(OAuthForm):
    """A revocation request (RFC 7009)."""

    token = fields.String(
        required=True,
        metadata={"minLength": 1, "description": "The access token or refresh token."},
    )
    token_type_hint = fields.String(
        metadata={
            "pattern": ECHOED_PATTERN,
            "description": "`access_token` or `refresh_token`. Optional.",
        }
    )
    client_id = fields.String(
        metadata={
            "pattern": ECHOED_PATTERN,
            "description": "The id of the client, unless it uses HTTP Basic.",
        }
    )
    client_secret = Secret(
        metadata={"description": "The secret of a service client, unless it uses HTTP Basic."}
    )


class ServerMetadata(Output):
    """OAuth 2 authorization server metadata (RFC 8414)."""

    issuer = fields.String(metadata={"description": "The issuer of tokens."})
    authorization_endpoint = fields.String(
        metadata={"description": "The URL of the authorization endpoint."}
    )
    token_endpoint = fields.String(metadata={"description": "The URL of the token endpoint."})
    revocation_endpoint = fields.String(
        metadata={"description": "The URL of the revocation endpoint."}
    )
    jwks_uri = fields.String(metadata={"description": "The URL of the public keys."})
    scopes_supported = fields.List(
        fields.String(), metadata={"description": "The scopes of service clients."}
    )
    response_types_supported = fields.List(
        fields.String(), metadata={"description": "The supported response types."}
    )
    response_modes_supported = fields.List(
        fields.String(), metadata={"description": "The supported response modes."}
    )
    grant_types_supported = fields.List(
        fields.String(), metadata={"description": "The supported grant types."}
    )
    token_endpoint_auth_methods_supported = fields.List(
        fields.String(), metadata={"description": "How clients authenticate to get tokens."}
    )
    revocation_endpoint_auth_methods_supported = fields.List(
        fields.String(), metadata={"description": "How clients authenticate to revoke tokens."}
    )
    code_challenge_methods_supported = fields.List(
        fields.String(), metadata={"description": "The supported methods of PKCE."}
    )
    authorization_response_iss_parameter_supported = fields.Boolean(
        metadata={"description": "Whether authorization responses contain `iss` (RFC 9207)."}
    )
    service_documentation = fields.String(metadata={"description": "The URL of the documentation."})


class Jwks(Output):
    """The public keys that verify access tokens (RFC 7517)."""

    keys = fields.List(fields.Dict(), metadata={"description": "The keys (RFC 7517)."})
