"""Users, clients and the audit trail, as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from automart.accounts import models
from automart.accounts.fields import NewPassword, RedirectUri, Secret
from automart.accounts.models import GRANTABLE_SCOPES, LONGEST_NAME, ClientKind
from automart.web import Output, PageQuery, Resource, Schema, changes_of, current_caller, example
from automart.web.fields import Choice, EmailAddress, Flag, QueryText, Text, UtcTime

MOST_REDIRECT_URIS = 20


class UserProfile(Schema):
    """The fields of a user that are both written and read."""

    email = EmailAddress(required=True, metadata={"description": "The address to log in with."})
    name = Text(
        required=True, max_length=LONGEST_NAME, metadata={"description": "The name of the person."}
    )
    is_admin = Flag(
        load_default=False, metadata={"description": "Whether the user is an administrator."}
    )


@example(
    changes={"name": "Ada King"},
    email="grace.hopper@example.com",
    password="correct horse battery",  # noqa: S106
    name="Grace Hopper",
)
class NewUser(UserProfile):
    """A person who may use Automart."""

    password = NewPassword(required=True, metadata={"description": "The password to log in with."})


UserChanges = changes_of(
    NewUser, is_active=Flag(metadata={"description": "Whether it may log in."})
)


class User(UserProfile, Resource):
    """A person who may use Automart."""

    is_active = fields.Boolean(metadata={"description": "Whether the user may log in."})
    created_at = UtcTime(metadata={"description": "When the user was created."})
    updated_at = UtcTime(metadata={"description": "When the user was last changed."})


@example(name="Ada King")
class CurrentUserChanges(Schema):
    """The changes that users may make to their own account.

    A new password requires `current_password`.
    """

    name = Text(max_length=LONGEST_NAME, metadata={"description": "Your name."})
    current_password = Secret(
        metadata={"description": "Your current password, which a new one requires."}
    )
    password = NewPassword(metadata={"description": "Your new password."})


def _is_current(login: models.Login) -> bool:
    """Return whether this is the login of the current request."""
    return login.id == current_caller().login_id


class Session(Output):
    """A login of a user, which has not ended.

    `application` is null for logins by the login page or `/login`. `last_used_at` is accurate to 15
    minutes.
    """

    id = fields.UUID(metadata={"description": "The id of the session."})
    created_at = UtcTime(metadata={"description": "When the user logged in."})
    last_used_at = UtcTime(
        attribute="last_use", metadata={"description": "When it was last used, to 15 minutes."}
    )
    address = fields.String(
        allow_none=True, metadata={"description": "The IP address of the login."}
    )
    application = fields.String(
        allow_none=True, metadata={"description": "The name of the application."}
    )
    is_current = fields.Function(
        _is_current,
        metadata={"type": "boolean", "description": "Whether this request belongs to it."},
    )


@example(
    changes={"name": "Nightly sync"}, name="Catalogue sync", kind="service", scopes=["catalogue"]
)
class NewClient(Schema):
    """A client: `service` acts for itself, `application` acts for its users."""

    name = Text(
        required=True,
        max_length=LONGEST_NAME,
        metadata={"description": "The name of the client, which users of an application see."},
    )
    kind = Choice(
        ClientKind,
        required=True,
        metadata={"description": "`service` acts for itself, `application` for its users."},
    )
    scopes = fields.List(
        QueryText(validate=validate.OneOf(GRANTABLE_SCOPES)),
        metadata={"description": "What a service client may do."},
    )
    redirect_uris = fields.List(
        RedirectUri(),
        validate=validate.Length(max=MOST_REDIRECT_URIS),
        metadata={"description": "Where an application receives codes. Service clients have none."},
    )


ClientChanges = changes_of(
    NewClient, exclude=("kind",), is_active=Flag(metadata={"description": "Whether it may log in."})
)


class ClientIdentity(Output):
    """The id of a client, which comes first."""

    client_id = fields.String(
        attribute="id", metadata={"description": "The id of the client, as OAuth uses it."}
    )


class RegisteredClient(NewClient, ClientIdentity):
    """A client: `service` acts for itself, `application` acts for its users."""

    scopes = fields.List(
        fields.String(), metadata={"description": "What a service client may do."}
    )  # those of partners cannot be granted here
    is_active = fields.Boolean(metadata={"description": "Whether the client may get tokens."})
    created_at = UtcTime(metadata={"description": "When the client was created."})
    updated_at = UtcTime(metadata={"description": "When the client was last changed."})


class ClientWithSecret(RegisteredClient):
    """A client with its secret, which is shown only once. Applications have none."""

    client_secret = fields.String(
        metadata={
            "description": "The secret, which is not shown again. Applications have none.",
            "optional": True,
        }
    )


def values_with_secret(client: models.Client, secret: str | None) -> dict[str, Any]:
    """Return the values of `ClientWithSecret`: those of `client`, and `secret` if it has one."""
    names = [field.attribute or name for name, field in RegisteredClient().fields.items()]
    values = {name: getattr(client, name) for name in names}
    return values | {"client_secret": secret} if secret else values


class AuditEvent(Resource):
    """A login, or a change of rights: what `actor` did to `subject`, and from which address."""

    at = UtcTime(metadata={"description": "When it happened."})
    kind = fields.String(metadata={"description": "What happened, such as `login_succeeded`."})
    actor = fields.String(
        allow_none=True,
        metadata={"description": "Who did it, such as `user:7`. Null if that is unknown."},
    )
    subject = fields.String(
        allow_none=True, metadata={"description": "What it concerns, such as `client:0193…`."}
    )
    address = fields.String(
        allow_none=True,
        metadata={"description": "The IP address of the request. Null without a request."},
    )
    detail = fields.Dict(
        allow_none=True, metadata={"description": "More about the event, depending on its kind."}
    )


class AuditQuery(PageQuery):
    kind = QueryText(load_default=None, metadata={"description": "Only events of this kind."})
    subject = QueryText(
        load_default=None, metadata={"description": "Such as `user:7` or `client:0193…`."}
    )
