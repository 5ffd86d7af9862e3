"""Logins, tokens and metadata, as the API takes and shows them."""

from __future__ import annotations

from marshmallow import fields, validate

from automart.accounts.fields import Secret
from automart.web import Output, Schema


class PersonLogin(Schema):
    """The login of a user."""

    email = fields.String(required=True)
    password = Secret(required=True)


class ClientLogin(Schema):
    """The login of a service client."""

    client_id = fields.String(required=True)
    client_secret = Secret(required=True)


class Token(Output):
    """Tokens (RFC 6749 §5.1). Service clients get no refresh token."""

    access_token = fields.String()
    token_type = fields.String()
    expires_in = fields.Integer()
    refresh_token = fields.String(metadata={"optional": True})
    scope = fields.String(metadata={"optional": True})


class OAuthError(Output):
    """An error (RFC 6749 §5.2)."""

    error = fields.String()
    error_description = fields.String(metadata={"optional": True})
    error_uri = fields.String(metadata={"optional": True})


class TokenRequest(Schema):
    """A token request (RFC 6749)."""

    grant_type = fields.String(
        required=True,
        validate=validate.OneOf(["authorization_code", "client_credentials", "refresh_token"]),
    )
    client_id = fields.String()
    client_secret = Secret()
    code = fields.String()
    redirect_uri = fields.String()
    code_verifier = fields.String()
    refresh_token = fields.String()
    scope = fields.String()


class RevocationRequest(Schema):
    """A revocation request (RFC 7009)."""

    token = fields.String(required=True)
    token_type_hint = fields.String()
    client_id = fields.String()
    client_secret = Secret()


class ServerMetadata(Output):
    """OAuth 2 authorization server metadata (RFC 8414)."""

    issuer = fields.String()
    authorization_endpoint = fields.String()
    token_endpoint = fields.String()
    revocation_endpoint = fields.String()
    jwks_uri = fields.String()
    scopes_supported = fields.List(fields.String())
    response_types_supported = fields.List(fields.String())
    response_modes_supported = fields.List(fields.String())
    grant_types_supported = fields.List(fields.String())
    token_endpoint_auth_methods_supported = fields.List(fields.String())
    revocation_endpoint_auth_methods_supported = fields.List(fields.String())
    code_challenge_methods_supported = fields.List(fields.String())
    authorization_response_iss_parameter_supported = fields.Boolean()
    service_documentation = fields.String()


class Jwks(Output):
    """The public keys that verify access tokens (RFC 7517)."""

    keys = fields.List(fields.Dict())
