"""Regional offices, manufacturers and their clients, as the API takes and shows them."""

from __future__ import annotations

from marshmallow import fields, validate

from automart.accounts.models import LONGEST_NAME as LONGEST_CLIENT_NAME
from automart.accounts.schemas import ClientWithSecret
from automart.partners.models import LONGEST_NAME
from automart.web import Resource, Schema, changes_of, example
from automart.web.fields import Flag, Id, Text
from automart.webhooks.schemas import WebhookUrl

MOST_MAKES = 100


@example(changes={"name": "South"}, name="North", webhook_url="https://office.example.com/webhooks")
class NewOffice(Schema):
    """A regional office. Without `webhook_url` it receives no webhooks."""

    name = Text(
        required=True,
        max_length=LONGEST_NAME,
        metadata={"description": "The name of the regional office."},
    )
    webhook_url = WebhookUrl(
        allow_none=True, load_default=None, metadata={"description": "Where its webhooks are sent."}
    )
    webhook_enabled = Flag(
        load_default=True,
        metadata={
            "description": "Set to false automatically after a 410 or five days of failures."
        },
    )


OfficeChanges = changes_of(NewOffice)


class Office(NewOffice, Resource):
    """A regional office. Without `webhook_url` it receives no webhooks."""


class OfficeWithSecret(Office):
    """A regional office with the secret that signs its webhooks, which is shown only once."""

    webhook_secret = fields.String(
        metadata={"description": "The secret, which is not shown again."}
    )


@example(changes={"name": "Honda Motor"}, name="Honda", make_ids=[474])
class NewManufacturer(Schema):
    """A manufacturer and the makes whose cars it makes."""

    name = Text(
        required=True,
        max_length=LONGEST_NAME,
        metadata={"description": "The name of the manufacturer."},
    )
    make_ids = fields.List(
        Id(),
        load_default=list,
        validate=validate.Length(max=MOST_MAKES),
        metadata={"description": "The makes whose cars it makes."},
    )


ManufacturerChanges = changes_of(NewManufacturer)


class Manufacturer(NewManufacturer, Resource):
    """A manufacturer and the makes whose cars it makes."""


@example(name="Order system")
class NewPartnerClient(Schema):
    """A client that acts for a partner."""

    name = Text(
        required=True,
        max_length=LONGEST_CLIENT_NAME,
        metadata={"description": "The name of the client."},
    )


class PartnerClientWithSecret(ClientWithSecret):
    """A client of a partner with its secret, which is shown only once."""

    client_secret = fields.String(metadata={"description": "The secret, which is not shown again."})
