"""Logins, tokens and metadata, as the API takes and shows them."""

from __future__ import annotations

from marshmallow import fields, validate

from automart.accounts.fields import Secret
from automart.web import Schema


class PersonLogin(Schema):
    """The login of a user."""

    email = fields.String(required=True)
    password = Secret(required=True)


class ClientLogin(Schema):
    """The login of a service client."""

    client_id = fields.String(required=True)
    client_secret = Secret(required=True)


class Token(Schema):
    """Tokens (RFC 6749 §5.1). Service clients get no refresh token."""

    access_token = fields.String(required=True)
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True)
    refresh_token = fields.String()
    scope = fields.String()


class OAuthError(Schema):
    """An error (RFC 6749 §5.2)."""

    error = fields.String(required=True)
    error_description = fields.String()
    error_uri = fields.String()


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


class ServerMetadata(Schema):
    """OAuth 2 authorization server metadata (RFC 8414)."""

    issuer = fields.String(required=True)
    authorization_endpoint = fields.String(required=True)
    token_endpoint = fields.String(required=True)
    revocation_endpoint = fields.String(required=True)
    jwks_uri = fields.String(required=True)
    scopes_supported = fields.List(fields.String(), required=True)
    response_types_supported = fields.List(fields.String(), required=True)
    response_modes_supported = fields.List(fields.String(), required=True)
    grant_types_supported = fields.List(fields.String(), required=True)
    token_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    revocation_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    code_challenge_methods_supported = fields.List(fields.String(), required=True)
    authorization_response_iss_parameter_supported = fields.Boolean(required=True)
    service_documentation = fields.String(required=True)


class Jwks(Schema):
    """The public keys that verify access tokens (RFC 7517)."""

    keys = fields.List(fields.Dict(), required=True)
