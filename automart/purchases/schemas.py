"""How clients see offices, manufacturers, purchases and deliveries."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from marshmallow import INCLUDE, ValidationError, fields, validate

from automart.accounts.models import LONGEST_NAME as LONGEST_CLIENT_NAME
from automart.accounts.schemas import ClientWithSecretSchema
from automart.api import PageQuery, Schema
from automart.api.fields import Flag, Id, QueryId, QueryText, Text, UtcTime
from automart.api.urls import can_be_host
from automart.catalogue.models import LONGEST_NAME as LONGEST_MODEL_NAME
from automart.purchases.models import (
    LONGEST_NAME,
    LONGEST_ORDER_NUMBER,
    LONGEST_URL,
    DeliveryState,
    PurchaseState,
)

STATE_CHANGED = "purchase.state_changed"
MOST_MAKES = 100
BRAND = {"description": "The whole name, in any case."}


class WebhookUrl(Text):
    """An http or https URL without user information."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST_URL, metadata={"format": "uri"}, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        url = super()._deserialize(value, *args, **kwargs)
        try:
            parts = urlsplit(url)
            has_host = can_be_host(parts.hostname or "")
            is_good = parts.scheme in ("http", "https") and has_host and parts.port != 0
        except ValueError:  # no port, no IPv6 address
            is_good = False
        if not is_good or not url.isascii() or " " in url or "\\" in url:
            raise ValidationError("Must be an http or https URL.")
        if "@" in parts.netloc:
            raise ValidationError("Must have no user information.")
        if parts.fragment:
            raise ValidationError("Must have no fragment.")
        return url


class OfficeSchema(Schema):
    """An office that sells. Without `webhook_url` it is told of nothing."""

    id = fields.Integer(dump_only=True)
    name = Text(required=True, max_length=LONGEST_NAME)
    webhook_url = WebhookUrl(allow_none=True, load_default=None)
    webhook_enabled = Flag(
        load_default=True,
        metadata={"description": "Becomes false by itself if the webhook is gone, or only fails."},
    )


class OfficeWithSecretSchema(OfficeSchema):
    """An office and, this once, what its webhooks are signed with (Standard Webhooks)."""

    webhook_secret = fields.String(dump_only=True)


class OfficeChanges(Schema):
    name = Text(max_length=LONGEST_NAME)
    webhook_url = WebhookUrl(allow_none=True)
    webhook_enabled = Flag()


class ManufacturerSchema(Schema):
    """Who makes the cars of these makes."""

    id = fields.Integer(dump_only=True)
    name = Text(required=True, max_length=LONGEST_NAME)
    make_ids = fields.List(Id(), load_default=list, validate=validate.Length(max=MOST_MAKES))


class ManufacturerChanges(Schema):
    name = Text(max_length=LONGEST_NAME)
    make_ids = fields.List(Id(), validate=validate.Length(max=MOST_MAKES))


class PartnerQuery(PageQuery):
    """All of them."""


class PartnerClientRequest(Schema):
    name = Text(required=True, max_length=LONGEST_CLIENT_NAME)


class PartnerClientWithSecretSchema(ClientWithSecretSchema):
    """A client of an office or of a manufacturer and, this once, its secret."""

    client_secret = fields.String(dump_only=True)


class SaleSchema(Schema):
    """A sale. Brand and model are found in the catalogue whatever the case."""

    external_order_number = Text(
        required=True,
        max_length=LONGEST_ORDER_NUMBER,
        metadata={"description": "The office's own; a sale that is sent again is written once."},
    )
    brand = Text(required=True, max_length=LONGEST_MODEL_NAME)
    car_model = Text(required=True, max_length=LONGEST_MODEL_NAME)
    regional_office_id = Id(metadata={"description": "The caller's own, if it is sent."})
    regional_office = Id(metadata={"description": "Another name of `regional_office_id`."})


class StateChange(Schema):
    state = fields.Enum(PurchaseState, by_value=True, required=True)


class ChangeSchema(Schema):
    state = fields.Enum(PurchaseState, by_value=True, required=True)
    at = UtcTime(required=True)


class PurchaseSchema(Schema):
    """A car that an office has sold, and how far its making is."""

    id = fields.Integer(required=True)
    regional_office_id = fields.Integer(required=True)
    external_order_number = fields.String(required=True)
    brand = fields.String(required=True)
    car_model = fields.String(required=True)
    state = fields.Enum(PurchaseState, by_value=True, required=True)
    created_at = UtcTime(required=True)
    updated_at = UtcTime(required=True)
    history = fields.List(fields.Nested(ChangeSchema), required=True)


class PurchaseQuery(PageQuery):
    state = fields.Enum(PurchaseState, by_value=True, load_default=None)
    brand = QueryText(load_default=None, metadata=BRAND)


class OrderedVehicleSchema(Schema):
    """A purchase that waits to be made."""

    id = fields.Integer(required=True)
    car_model = fields.String(required=True)
    brand = fields.String(required=True)


class OrderedVehiclesQuery(PageQuery):
    """All that are ordered."""


class AttemptSchema(Schema):
    """A try: the answer's status and its beginning, or why there was none."""

    at = UtcTime(required=True)
    status = fields.Integer(required=True, allow_none=True)
    response = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)


class DeliverySchema(Schema):
    """A change of a purchase on its way to the office."""

    id = fields.Integer(required=True)
    webhook_id = fields.String(required=True)
    regional_office_id = fields.Integer(required=True)
    purchase_id = fields.Integer(required=True)
    state = fields.Enum(DeliveryState, by_value=True, required=True)
    next_attempt_at = UtcTime(
        required=True,
        allow_none=True,
        metadata={
            "description": "Null once it has ended, and while it waits for an earlier change of"
            " the same purchase."
        },
    )
    attempts = fields.List(fields.Nested(AttemptSchema), required=True)


class DeliveryQuery(PageQuery):
    state = fields.Enum(DeliveryState, by_value=True, load_default=None)
    regional_office_id = QueryId(load_default=None)


class StateChangedData(Schema):
    class Meta(Schema.Meta):
        unknown = INCLUDE

    purchase_id = fields.Integer(required=True)
    external_order_number = fields.String(
        required=True, metadata={"description": "The office's own, as it was reported."}
    )
    previous_state = fields.Enum(PurchaseState, by_value=True, required=True)
    state = fields.Enum(PurchaseState, by_value=True, required=True)


class StateChangedEvent(Schema):
    """What an office is told when the state of one of its purchases has changed. There may be more
    fields one day."""

    class Meta(Schema.Meta):
        unknown = INCLUDE

    type = fields.String(required=True, validate=validate.OneOf([STATE_CHANGED]))
    timestamp = UtcTime(required=True, metadata={"description": "When the state changed."})
    data = fields.Nested(StateChangedData, required=True)
