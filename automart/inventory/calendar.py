"""When a car is busy and when it is free; its bookings as an iCalendar object (RFC 5545)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from icalendar import Calendar, Event
from sqlalchemy import select

from automart.core.db import db
from automart.inventory.models import DAY, Booking, Car
from automart.inventory.service import IS_CONFIRMED, check_query_order

PRODUCT = "-//Automart//Cars//EN"
DEFAULT_SPAN = 365 * DAY
SECOND = timedelta(seconds=1)


def bookings_of(
    car: Car, start: datetime, end: datetime, *, cancelled_too: bool = False
) -> Sequence[Booking]:
    """The confirmed bookings of a car that overlap the range, in their order."""
    check_query_order(start, end, end_parameter="to")
    within = (
        select(Booking)
        .where(Booking.car_id == car.id)
        .where(Booking.start_datetime < end, Booking.end_datetime > start)
        .order_by(Booking.start_datetime, Booking.id)
    )
    if not cancelled_too:
        within = within.where(IS_CONFIRMED)
    return db.session.scalars(within).all()


def busy_and_free(bookings: Sequence[Booking], start: datetime, end: datetime) -> dict[str, Any]:
    """The range in parts: each is of one booking or free, and together they are all of it."""
    busy = [
        {
            "start": max(booking.start_datetime, start),
            "end": min(booking.end_datetime, end),
            "booking_id": booking.id,
        }
        for booking in bookings
    ]
    return {"busy": busy, "free": list(_between(busy, start, end))}


def as_icalendar(car: Car, bookings: Sequence[Booking]) -> bytes:
    """The bookings as events. Imported again, each updates itself; for that, cancelled ones are
    told too."""
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("name", f"{car.brand} {car.model} {car.vin}")
    for booking in bookings:
        calendar.add_component(_event(car, booking))
    return bytes(calendar.to_ical())


def _between(
    busy: Sequence[dict[str, Any]], start: datetime, end: datetime
) -> Iterator[dict[str, datetime]]:
    for each in busy:
        if start < each["start"]:
            yield {"start": start, "end": each["start"]}
        start = each["end"]
    if start < end:
        yield {"start": start, "end": end}


def _event(car: Car, booking: Booking) -> Event:
    event = Event()
    event.add("uid", booking.uid.urn)
    event.add("sequence", booking.revision)
    # Of an object that is no invitation, this is when it was last changed (§3.8.7.2).
    event.add("dtstamp", booking.updated_at)
    event.add("last-modified", booking.updated_at)
    event.add("created", booking.created_at)
    # iCalendar knows whole seconds; what is busy for a part of one is busy.
    event.add("dtstart", booking.start_datetime.replace(microsecond=0))
    event.add("dtend", _next_second(booking.end_datetime))
    event.add("summary", f"{car.brand} {car.model}: {booking.customer_name}")
    event.add("status", "CANCELLED" if booking.is_cancelled else "CONFIRMED")
    event.add("transp", "TRANSPARENT" if booking.is_cancelled else "OPAQUE")
    return event


def _next_second(instant: datetime) -> datetime:
    whole = instant.replace(microsecond=0)
    return whole if whole == instant else whole + SECOND
