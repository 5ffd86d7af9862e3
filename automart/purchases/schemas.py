"""Sales, purchases and their events, as the API takes and shows them."""

from __future__ import annotations

from marshmallow import INCLUDE, fields, validate

from automart.catalogue.models import LONGEST_NAME as LONGEST_MODEL_NAME
from automart.purchases.models import LONGEST_ORDER_NUMBER, PurchaseState
from automart.web import Output, PageQuery, Schema, example
from automart.web.fields import Choice, Id, QueryEnum, QueryName, Text, UtcTime

STATE_CHANGED = "purchase.state_changed"


@example(external_order_number="A-1001", brand="Honda", car_model="Civic")
class NewSale(Schema):
    """A sale. Brand and model must be in the catalogue, in any case, with any kind of apostrophe
    and any number of spaces."""

    external_order_number = Text(
        required=True,
        max_length=LONGEST_ORDER_NUMBER,
        metadata={
            "description": "The office's own order number. Reporting the same sale again does not"
            " create a second purchase."
        },
    )
    brand = Text(
        required=True,
        max_length=LONGEST_MODEL_NAME,
        metadata={"description": "The name of the make."},
    )
    car_model = Text(
        required=True,
        max_length=LONGEST_MODEL_NAME,
        metadata={"description": "The name of the model."},
    )
    regional_office_id = Id(
        metadata={"description": "Optional. Must be the id of the caller's office."}
    )
    regional_office = Id(metadata={"description": "An alias of `regional_office_id`."})


@example(state="manufacturing")
class StateChange(Schema):
    """The new state of a purchase."""

    state = Choice(
        PurchaseState,
        required=True,
        metadata={"description": "The new state. It must follow from the current one."},
    )


class Change(Output):
    """A state and the time at which it was reached."""

    state = fields.Enum(PurchaseState, by_value=True, metadata={"description": "The state."})
    at = UtcTime(metadata={"description": "When it was reached."})


class Purchase(Output):
    """A car that a regional office has sold, and the states of its production."""

    id = fields.Integer(metadata={"description": "The id of the purchase."})
    regional_office_id = fields.Integer(
        metadata={"description": "The office that reported the sale."}
    )
    external_order_number = fields.String(
        metadata={"description": "The order number that the office reported."}
    )
    brand = fields.String(metadata={"description": "The name of the make."})
    car_model = fields.String(metadata={"description": "The name of the model."})
    state = fields.Enum(
        PurchaseState, by_value=True, metadata={"description": "The current state."}
    )
    created_at = UtcTime(metadata={"description": "When the purchase was recorded."})
    updated_at = UtcTime(metadata={"description": "When the purchase was last changed."})
    history = fields.List(
        fields.Nested(Change), metadata={"description": "All states so far, oldest first."}
    )


class PurchaseQuery(PageQuery):
    state = QueryEnum(PurchaseState, metadata={"description": "Only purchases in this state."})
    brand = QueryName()


class OrderedVehicle(Output):
    """A purchase that is to be manufactured."""

    id = fields.Integer(metadata={"description": "The id of the purchase."})
    car_model = fields.String(metadata={"description": "The name of the model."})
    brand = fields.String(metadata={"description": "The name of the make."})


class StateChangedData(Schema):
    """What has changed."""

    class Meta(Schema.Meta):
        unknown = INCLUDE

    purchase_id = fields.Integer(required=True, metadata={"description": "The id of the purchase."})
    external_order_number = fields.String(
        required=True, metadata={"description": "The order number that the office reported."}
    )
    previous_state = fields.Enum(
        PurchaseState, by_value=True, required=True, metadata={"description": "The state before."}
    )
    state = fields.Enum(
        PurchaseState, by_value=True, required=True, metadata={"description": "The state now."}
    )


class StateChangedEvent(Schema):
    """The event of a purchase's change of state. Fields may be added in later releases."""

    class Meta(Schema.Meta):
        unknown = INCLUDE

    type = fields.String(
        required=True,
        validate=validate.OneOf([STATE_CHANGED]),
        metadata={"description": "The type of the event."},
    )
    timestamp = UtcTime(required=True, metadata={"description": "When the state changed."})
    data = fields.Nested(
        StateChangedData, required=True, metadata={"description": "What has changed."}
    )
