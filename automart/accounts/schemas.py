"""Users, clients and the audit trail, as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from automart.accounts import models
from automart.accounts.fields import NewPassword, RedirectUri, Secret
from automart.accounts.models import GRANTABLE_SCOPES, LONGEST_NAME, ClientKind
from automart.web import Output, PageQuery, Resource, Schema, changes_of, current_caller
from automart.web.fields import EmailAddress, Flag, QueryText, Text, UtcTime

MOST_REDIRECT_URIS = 20


class UserProfile(Schema):
    """The fields of a user that are both written and read."""

    email = EmailAddress(required=True)
    name = Text(required=True, max_length=LONGEST_NAME)
    is_admin = Flag(load_default=False)


class NewUser(UserProfile):
    """A person who may use Automart."""

    password = NewPassword(required=True)


UserChanges = changes_of(NewUser, is_active=Flag())


class User(UserProfile, Resource):
    """A person who may use Automart."""

    is_active = fields.Boolean()
    created_at = UtcTime()
    updated_at = UtcTime()


class CurrentUserChanges(Schema):
    """The changes that users may make to their own account.

    A new password requires `current_password`.
    """

    name = Text(max_length=LONGEST_NAME)
    current_password = Secret()
    password = NewPassword()


def _is_current(login: models.Login) -> bool:
    """Return whether this is the login of the current request."""
    return login.id == current_caller().login_id


class Session(Output):
    """A login of a user, which has not ended.

    `application` is null for logins by the login page or `/login`. `last_used_at` is accurate to 15
    minutes.
    """

    id = fields.UUID()
    created_at = UtcTime()
    last_used_at = UtcTime(attribute="last_use")
    address = fields.String(allow_none=True)
    application = fields.String(allow_none=True)
    is_current = fields.Function(_is_current, metadata={"type": "boolean"})


class NewClient(Schema):
    """A client: `service` acts for itself, `application` acts for its users."""

    name = Text(required=True, max_length=LONGEST_NAME)
    kind = fields.Enum(ClientKind, by_value=True, required=True)
    scopes = fields.List(fields.String(validate=validate.OneOf(GRANTABLE_SCOPES)))
    redirect_uris = fields.List(RedirectUri(), validate=validate.Length(max=MOST_REDIRECT_URIS))


ClientChanges = changes_of(NewClient, exclude=("kind",), is_active=Flag())


class ClientIdentity(Output):
    """The id of a client, which comes first."""

    client_id = fields.String(attribute="id")


class RegisteredClient(NewClient, ClientIdentity):
    """A client: `service` acts for itself, `application` acts for its users."""

    scopes = fields.List(fields.String())  # those of partners cannot be granted here
    is_active = fields.Boolean()
    created_at = UtcTime()
    updated_at = UtcTime()


class ClientWithSecret(RegisteredClient):
    """A client with its secret, which is shown only once. Applications have none."""

    client_secret = fields.String(metadata={"optional": True})


def values_with_secret(client: models.Client, secret: str | None) -> dict[str, Any]:
    """Return the values of `ClientWithSecret`: those of `client`, and `secret` if it has one."""
    names = [field.attribute or name for name, field in RegisteredClient().fields.items()]
    values = {name: getattr(client, name) for name in names}
    return values | {"client_secret": secret} if secret else values


class AuditEvent(Resource):
    """A login, or a change of rights: what `actor` did to `subject`, and from which address."""

    at = UtcTime()
    kind = fields.String()
    actor = fields.String(allow_none=True)
    subject = fields.String(allow_none=True)
    address = fields.String(allow_none=True)
    detail = fields.Dict(allow_none=True)


class AuditQuery(PageQuery):
    kind = QueryText(load_default=None)
    subject = QueryText(
        load_default=None, metadata={"description": "Such as `user:7` or `client:0193…`."}
    )
