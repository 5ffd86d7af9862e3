"""How clients see users, clients, tokens and the audit trail."""

from __future__ import annotations

import unicodedata
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

from automart.accounts.models import LONGEST_NAME, Client, ClientKind
from automart.accounts.passwords import LONGEST, SHORTEST, what_is_wrong
from automart.web import PageQuery, Schema
from automart.web.fields import EmailAddress, Flag, QueryText, Text, UtcTime

GRANTABLE_SCOPES = ("catalogue", "metrics")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LONGEST_URI = 2000


class NewPassword(fields.String):
    """A password to be set: exactly as sent, neither trimmed nor normalized."""

    def __init__(self, **kwargs: Any) -> None:
        # Said for the documents; `what_is_wrong` checks it, and more.
        metadata = {"format": "password", "minLength": SHORTEST, "maxLength": LONGEST}
        super().__init__(load_only=True, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        password: str = super()._deserialize(value, *args, **kwargs)
        wrong = what_is_wrong(password)
        if wrong is not None:
            raise ValidationError(wrong)
        return password


class Secret(fields.String):
    """A password or secret to be compared: exactly as sent."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(load_only=True, metadata={"format": "password"}, **kwargs)


class RedirectUri(fields.String):
    """Where an application receives its codes: https, or http on the user's own machine."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            validate=validate.Length(max=LONGEST_URI), metadata={"format": "uri"}, **kwargs
        )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        uri: str = super()._deserialize(value, *args, **kwargs)
        if not _is_fit_for_redirection(uri):
            raise ValidationError(
                "Must be an absolute https URL (http for this machine) without fragment."
            )
        return uri


def _is_fit_for_redirection(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        hostname, _port = parts.hostname, parts.port
    except ValueError:
        return False
    clean = uri.isascii() and not any(c.isspace() or c in '"\\<>#' for c in uri)
    printable = not any(unicodedata.category(c) == "Cc" for c in uri)
    secure = parts.scheme == "https" or (parts.scheme == "http" and hostname in LOOPBACK)
    return bool(clean and printable and secure and hostname and "@" not in parts.netloc)


class UserSchema(Schema):
    """A person who may use Automart."""

    id = fields.Integer(dump_only=True)
    email = EmailAddress(required=True)
    name = Text(required=True, max_length=LONGEST_NAME)
    is_admin = Flag(load_default=False)
    is_active = fields.Boolean(dump_only=True)
    created_at = UtcTime(dump_only=True)
    updated_at = UtcTime(dump_only=True)


class NewUserSchema(UserSchema):
    """A user to be added."""

    password = NewPassword(required=True)


class UserChanges(Schema):
    """What an administrator may change. A new password, or none any more, ends all logins."""

    email = EmailAddress()
    password = NewPassword()
    name = Text(max_length=LONGEST_NAME)
    is_admin = Flag()
    is_active = Flag()


class MyChanges(Schema):
    """What people may change of themselves. A new password ends all their other logins."""

    name = Text(max_length=LONGEST_NAME)
    current_password = Secret()
    password = NewPassword()


class ClientSchema(Schema):
    """A machine (`service`), or an application by which people act (`application`)."""

    client_id = fields.String(dump_only=True, attribute="id")
    name = Text(required=True, max_length=LONGEST_NAME)
    kind = fields.Enum(ClientKind, by_value=True, required=True)
    scopes = fields.List(fields.String())
    redirect_uris = fields.List(RedirectUri(), validate=validate.Length(max=20))
    is_active = fields.Boolean(dump_only=True)
    created_at = UtcTime(dump_only=True)
    updated_at = UtcTime(dump_only=True)


class NewClientSchema(ClientSchema):
    """A client to be added. Those of offices and manufacturers are added there."""

    scopes = fields.List(fields.String(validate=validate.OneOf(GRANTABLE_SCOPES)))


class ClientWithSecretSchema(ClientSchema):
    """A client and, this once, its secret. An application has none."""

    client_secret = fields.String(dump_only=True, metadata={"optional": True})


def with_secret(client: Client, secret: str | None) -> dict[str, Any]:
    """What is shown of a client, with its secret if it has one."""
    shown: dict[str, Any] = {
        name: getattr(client, name)
        for name in Client.__mapper__.columns.keys()  # noqa: SIM118 - no dict
    }
    return shown | {"client_secret": secret} if secret else shown


class ClientChanges(Schema):
    name = Text(max_length=LONGEST_NAME)
    scopes = fields.List(fields.String(validate=validate.OneOf(GRANTABLE_SCOPES)))
    redirect_uris = fields.List(RedirectUri(), validate=validate.Length(1, 20))
    is_active = Flag()


class AuditEventSchema(Schema):
    """Something that concerns rights: who (`actor`) did what to whom (`subject`), from where."""

    id = fields.Integer(required=True)
    at = UtcTime(required=True)
    kind = fields.String(required=True)
    actor = fields.String(required=True, allow_none=True)
    subject = fields.String(required=True, allow_none=True)
    address = fields.String(required=True, allow_none=True)
    detail = fields.Dict(required=True, allow_none=True)


class AuditQuery(PageQuery):
    kind = QueryText(load_default=None)
    subject = QueryText(
        load_default=None, metadata={"description": "Like `user:7` or `client:0193…`."}
    )


class PersonLogin(Schema):
    """A person."""

    email = fields.String(required=True)
    password = Secret(required=True)


class ClientLogin(Schema):
    """A machine."""

    client_id = fields.String(required=True)
    client_secret = Secret(required=True)


class TokenSchema(Schema):
    """Tokens (RFC 6749 §5.1). Machines get no refresh token."""

    access_token = fields.String(required=True)
    token_type = fields.String(required=True)
    expires_in = fields.Integer(required=True)
    refresh_token = fields.String()
    scope = fields.String()


class OAuthErrorSchema(Schema):
    """What went wrong (RFC 6749 §5.2)."""

    error = fields.String(required=True)
    error_description = fields.String()
    error_uri = fields.String()


class TokenRequest(Schema):
    """A request for tokens (RFC 6749)."""

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
    """A token that shall be good no longer (RFC 7009)."""

    token = fields.String(required=True)
    token_type_hint = fields.String()
    client_id = fields.String()
    client_secret = Secret()


class ServerMetadataSchema(Schema):
    """Where what is (RFC 8414)."""

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


class JwksSchema(Schema):
    """The public keys (RFC 7517)."""

    keys = fields.List(fields.Dict(), required=True)
