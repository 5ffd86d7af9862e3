"""How clients see dealers, cars and bookings."""

from __future__ import annotations

from marshmallow import ValidationError, fields, validate

from automart.catalogue.models import LONGEST_NAME
from automart.core.db import utcnow
from automart.inventory.fields import Instant, Money, Price, QueryPrice, Vin
from automart.inventory.models import (
    FIRST_YEAR,
    LONGEST_TEXT,
    BookingStatus,
    CarStatus,
)
from automart.web import PageQuery, Query, Schema
from automart.web.fields import EmailAddress, Id, QueryId, QueryInteger, QueryText, Text, UtcTime

LAST_YEAR = 9999


def not_after_next_year(year: int) -> None:
    """Refuse cars of a year that is further away than makers announce."""
    next_year = utcnow().year + 1
    if year > next_year:
        raise ValidationError(f"Must not be after {next_year}.")


def whole_name() -> QueryText:
    return QueryText(load_default=None, metadata={"description": "The whole name, in any case."})


class DealerSchema(Schema):
    """A place that has cars."""

    id = fields.Integer(dump_only=True)
    name = Text(required=True, max_length=LONGEST_TEXT)
    location = Text(required=True, max_length=LONGEST_TEXT)


class DealerChanges(DealerSchema):
    """To be used `partial`."""


class DealerQuery(PageQuery):
    """All dealers."""


class CarSchema(Schema):
    """A car of a dealer. Brand and model are found in the catalogue whatever the case, and told as
    the catalogue spells them."""

    id = fields.Integer(dump_only=True)
    brand = Text(required=True, max_length=LONGEST_NAME)
    model = Text(required=True, max_length=LONGEST_NAME)
    year = fields.Integer(
        required=True,
        strict=True,
        validate=[validate.Range(min=FIRST_YEAR), not_after_next_year],
        metadata={"description": "Next year at the latest."},
    )
    color = Text(required=True, max_length=LONGEST_TEXT)
    daily_price = Price(required=True)
    vin = Vin(required=True)
    status = fields.Enum(CarStatus, by_value=True, load_default=CarStatus.AVAILABLE)
    dealer_id = Id(required=True)
    created_at = UtcTime(dump_only=True)
    updated_at = UtcTime(dump_only=True)


class CarChanges(CarSchema):
    """To be used `partial`."""

    status = fields.Enum(CarStatus, by_value=True)


class CarQuery(PageQuery):
    brand = whole_name()
    model = whole_name()
    year = QueryInteger(load_default=None, validate=validate.Range(min=1, max=LAST_YEAR))
    dealer_id = QueryId(load_default=None)
    status = fields.Enum(CarStatus, by_value=True, load_default=None)


class BookingValues(Schema):
    """What is booked, by whom. Name and e-mail are required without `customer_id`."""

    car_id = Id(required=True)
    customer_id = Id(
        allow_none=True,
        metadata={"description": "Whose name and e-mail are filled in, unless they are sent."},
    )
    customer_name = Text(max_length=LONGEST_TEXT)
    customer_email = EmailAddress()
    start_datetime = Instant(required=True)
    end_datetime = Instant(required=True, metadata={"description": "After the start."})


class BookingChanges(BookingValues):
    """To be used `partial`."""


class BookingSchema(Schema):
    """A car for a customer, from `start_datetime` up to and without `end_datetime`."""

    id = fields.Integer(required=True)
    car_id = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null once the car is deleted."}
    )
    customer_id = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Null once the customer is deleted."},
    )
    customer_name = fields.String(required=True)
    customer_email = fields.String(
        required=True, allow_none=True, metadata={"description": "Null if the customer has none."}
    )
    start_datetime = Instant(required=True)
    end_datetime = Instant(required=True)
    status = fields.Enum(BookingStatus, by_value=True, required=True)
    total_price = Money(
        required=True,
        metadata={"description": "The car's price as it was at booking, for every started 24 h."},
    )
    created_at = UtcTime(required=True)
    updated_at = UtcTime(required=True)


class BookingQuery(PageQuery):
    car_id = QueryId(load_default=None)
    customer_email = QueryText(load_default=None, metadata={"description": "In any case."})
    start_datetime = Instant(load_default=None)
    end_datetime = Instant(load_default=None)
    status = fields.Enum(BookingStatus, by_value=True, load_default=None)


class AvailableCarsQuery(PageQuery):
    start_datetime = Instant(required=True)
    end_datetime = Instant(required=True)
    brand = whole_name()
    model = whole_name()
    dealer_id = QueryId(load_default=None)
    max_daily_price = QueryPrice(load_default=None)


class CalendarQuery(Query):
    # `from` is a word of Python.
    start = Instant(
        data_key="from",
        load_default=None,
        metadata={"description": "The beginning of this day (UTC), if it is absent."},
    )
    end = Instant(
        data_key="to",
        load_default=None,
        metadata={"description": "365 days after `from`, if it is absent."},
    )


class BusySchema(Schema):
    start = Instant(required=True)
    end = Instant(required=True)
    booking_id = fields.Integer(required=True)


class FreeSchema(Schema):
    start = Instant(required=True)
    end = Instant(required=True)


class CalendarSchema(Schema):
    """The asked range in parts, each of them of one booking or free. Bookings that reach beyond
    the range are cut off at its ends."""

    busy = fields.List(fields.Nested(BusySchema), required=True)
    free = fields.List(fields.Nested(FreeSchema), required=True)
