"""Dealers, cars, bookings and calendars, as the API takes and shows them."""

from __future__ import annotations

from marshmallow import ValidationError, fields, validate

from automart.catalogue.models import LONGEST_NAME
from automart.core.db import utcnow
from automart.inventory.fields import CarVin, Instant, Money, Price, QueryPrice
from automart.inventory.models import FIRST_YEAR, LONGEST_TEXT, BookingStatus, CarStatus
from automart.web import Output, PageQuery, Query, Resource, Schema, changes_of, example
from automart.web.fields import (
    Choice,
    EmailAddress,
    Id,
    Integer,
    QueryEmail,
    QueryEnum,
    QueryId,
    QueryInteger,
    QueryName,
    Text,
    UtcTime,
)

LAST_YEAR = 9999


def _check_year(year: int) -> None:
    # Manufacturers announce the models of the next year, but not of later ones.
    next_year = utcnow().year + 1
    if year > next_year:
        raise ValidationError(f"Must not be after {next_year}.")


@example(changes={"location": "Garching"}, name="Oscar Mobility North", location="Munich")
class NewDealer(Schema):
    """A dealer, who has cars."""

    name = Text(
        required=True, max_length=LONGEST_TEXT, metadata={"description": "The name of the dealer."}
    )
    location = Text(
        required=True, max_length=LONGEST_TEXT, metadata={"description": "Where the dealer is."}
    )


DealerChanges = changes_of(NewDealer)


class Dealer(NewDealer, Resource):
    """A dealer, who has cars."""


@example(
    changes={"color": "green"},
    brand="Honda",
    model="Civic",
    year=2024,
    color="white",
    daily_price=49.5,
    vin="JHMFC1F30KX000101",
    dealer_id=1,
)
class NewCar(Schema):
    """A car of a dealer. Brand and model are looked up in the catalogue; case does not matter."""

    brand = Text(
        required=True, max_length=LONGEST_NAME, metadata={"description": "The name of the make."}
    )
    model = Text(
        required=True, max_length=LONGEST_NAME, metadata={"description": "The name of the model."}
    )
    year = Integer(
        required=True,
        validate=[validate.Range(min=FIRST_YEAR), _check_year],
        metadata={"description": "Next year at the latest."},
    )
    color = Text(required=True, max_length=LONGEST_TEXT, metadata={"description": "The color."})
    daily_price = Price(required=True)
    vin = CarVin(required=True)
    status = Choice(
        CarStatus,
        load_default=CarStatus.AVAILABLE,
        metadata={"description": "Cars in `maintenance` cannot be booked."},
    )
    dealer_id = Id(required=True, metadata={"description": "The dealer who has the car."})


CarChanges = changes_of(NewCar)


class Car(NewCar, Resource):
    """A car of a dealer. Brand and model are spelled as in the catalogue."""

    created_at = UtcTime(metadata={"description": "When the car was created."})
    updated_at = UtcTime(metadata={"description": "When the car was last changed."})


class CarQuery(PageQuery):
    brand = QueryName()
    model = QueryName()
    year = QueryInteger(
        load_default=None,
        validate=validate.Range(min=1, max=LAST_YEAR),
        metadata={"description": "Only cars of this model year."},
    )
    dealer_id = QueryId(load_default=None, metadata={"description": "Only cars of this dealer."})
    status = QueryEnum(CarStatus, metadata={"description": "Only cars with this status."})


@example(
    changes={"customer_name": "Jane Roe"},
    car_id=1,
    customer_name="John Doe",
    customer_email="john.doe@example.com",
    start_datetime="2030-03-01T09:00:00Z",
    end_datetime="2030-03-04T09:00:00Z",
)
class NewBooking(Schema):
    """A booking of a car. Name and e-mail are required unless there is a `customer_id`."""

    car_id = Id(required=True, metadata={"description": "The car to book."})
    customer_id = Id(
        allow_none=True,
        metadata={"description": "Name and e-mail are this customer's unless they are sent."},
    )
    customer_name = Text(
        max_length=LONGEST_TEXT, metadata={"description": "The name of the customer."}
    )
    customer_email = EmailAddress(
        allow_none=True,
        metadata={
            "description": "The e-mail address of the customer. "
            "Null for none, only with a `customer_id`."
        },
    )
    start_datetime = Instant(required=True, metadata={"description": "The start, with an offset."})
    end_datetime = Instant(required=True, metadata={"description": "After the start."})


BookingChanges = changes_of(NewBooking)


class Booking(Resource):
    """A car for a customer, from `start_datetime` up to but not including `end_datetime`."""

    car_id = fields.Integer(
        allow_none=True, metadata={"description": "Null if the car was deleted."}
    )
    customer_id = fields.Integer(
        allow_none=True, metadata={"description": "Null without a customer, or if it was deleted."}
    )
    customer_name = fields.String(metadata={"description": "The name of the customer."})
    customer_email = fields.String(
        allow_none=True, metadata={"description": "Null if the customer has none."}
    )
    start_datetime = Instant(metadata={"description": "The start."})
    end_datetime = Instant(metadata={"description": "The end, which is not part of the booking."})
    status = fields.Enum(
        BookingStatus,
        by_value=True,
        metadata={"description": "`cancelled` bookings leave the car free."},
    )
    total_price = Money(
        metadata={
            "description": "The daily price at the time of booking, for each 24 hours or part."
        }
    )
    created_at = UtcTime(metadata={"description": "When the booking was created."})
    updated_at = UtcTime(metadata={"description": "When the booking was last changed."})


class BookingQuery(PageQuery):
    car_id = QueryId(load_default=None, metadata={"description": "Only bookings of this car."})
    customer_id = QueryId(
        load_default=None, metadata={"description": "Only bookings of this customer."}
    )
    customer_email = QueryEmail(load_default=None, metadata={"description": "In any case."})
    start_datetime = Instant(
        load_default=None, metadata={"description": "Only bookings that end after this time."}
    )
    end_datetime = Instant(
        load_default=None, metadata={"description": "Only bookings that start before this time."}
    )
    status = QueryEnum(BookingStatus, metadata={"description": "Only bookings with this status."})


class AvailableCarsQuery(PageQuery):
    start_datetime = Instant(required=True, metadata={"description": "The start of the range."})
    end_datetime = Instant(
        required=True, metadata={"description": "The end of the range, which is not part of it."}
    )
    brand = QueryName()
    model = QueryName()
    dealer_id = QueryId(load_default=None, metadata={"description": "Only cars of this dealer."})
    max_daily_price = QueryPrice(load_default=None)


class CalendarQuery(Query):
    # `from` is a keyword of Python.
    start = Instant(
        data_key="from",
        load_default=None,
        metadata={"description": "By default the start of this day in UTC."},
    )
    end = Instant(
        data_key="to",
        load_default=None,
        metadata={"description": "By default 365 days after `from`."},
    )


class Free(Output):
    """A part of the range in which the car is free."""

    start = Instant(metadata={"description": "The start of the part."})
    end = Instant(metadata={"description": "The end of the part, which is not in it."})


class Busy(Free):
    """A part of the range in which the car is booked."""

    booking_id = fields.Integer(metadata={"description": "The booking."})


class Calendar(Output):
    """The range, divided into parts that are booked and parts that are free.

    Bookings are cut off at the ends of the range.
    """

    busy = fields.List(
        fields.Nested(Busy), metadata={"description": "The parts that are booked, in order."}
    )
    free = fields.List(
        fields.Nested(Free), metadata={"description": "The parts that are free, in order."}
    )
