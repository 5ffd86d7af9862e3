"""When a car is booked and when it is free; its bookings as an iCalendar object (RFC 5545)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import icalendar
from sqlalchemy import select

from automart.core.db import db
from automart.inventory.availability import IS_CONFIRMED, bookings_within, check_query_range
from automart.inventory.models import DAY, Booking, Car

PRODUCT = "-//Automart//Cars//EN"
DEFAULT_SPAN = 365 * DAY
SECOND = timedelta(seconds=1)


def bookings_of(
    car: Car, start: datetime, end: datetime, *, include_cancelled: bool = False
) -> Sequence[Booking]:
    """Return the bookings of a car that overlap the range, ordered by their start.

    Raises `Invalid` if the range does not end after it starts.
    """
    check_query_range(start, end, names=("from", "to"))
    of_car = select(Booking).where(Booking.car_id == car.id)
    if not include_cancelled:
        of_car = of_car.where(IS_CONFIRMED)
    within = bookings_within(of_car, start, end)
    return db.session.scalars(within.order_by(Booking.start_datetime, Booking.id)).all()


def busy_and_free(bookings: Sequence[Booking], start: datetime, end: datetime) -> dict[str, Any]:
    """Return the range divided into `busy` parts, one for each booking, and `free` parts."""
    busy = [
        {
            "start": max(booking.start_datetime, start),
            "end": min(booking.end_datetime, end),
            "booking_id": booking.id,
        }
        for booking in bookings
    ]
    return {"busy": busy, "free": list(_gaps(busy, start, end))}


def as_icalendar(car: Car, bookings: Sequence[Booking]) -> bytes:
    """Return an iCalendar object with an event for each booking.

    A program that imports the object again updates the events that it has.
    """
    calendar = icalendar.Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    name = f"{car.brand} {car.model} {car.vin}"
    calendar.add("name", name)
    calendar.add("x-wr-calname", name)  # what calendars of Google, Apple and Microsoft read
    for booking in bookings:
        calendar.add_component(_event(car, booking))
    if not bookings:
        # A calendar without any component is invalid (§3.6).
        calendar.add_component(_utc())
    return bytes(calendar.to_ical())


def _gaps(
    busy: Sequence[dict[str, Any]], start: datetime, end: datetime
) -> Iterator[dict[str, datetime]]:
    for part in busy:
        if start < part["start"]:
            yield {"start": start, "end": part["start"]}
        start = part["end"]
    if start < end:
        yield {"start": start, "end": end}


def _event(car: Car, booking: Booking) -> icalendar.Event:
    event = icalendar.Event()
    event.add("uid", booking.uid.urn)
    event.add("sequence", booking.revision)
    # In an object without METHOD, DTSTAMP is the time of the last change (§3.8.7.2).
    event.add("dtstamp", booking.updated_at)
    event.add("last-modified", booking.updated_at)
    event.add("created", booking.created_at)
    # iCalendar has whole seconds. A second that is booked in part counts as booked.
    event.add("dtstart", booking.start_datetime.replace(microsecond=0))
    event.add("dtend", _round_up(booking.end_datetime))
    event.add("summary", f"{car.brand} {car.model}: {booking.customer_name}")
    event.add("status", "CANCELLED" if booking.is_cancelled else "CONFIRMED")
    event.add("transp", "TRANSPARENT" if booking.is_cancelled else "OPAQUE")
    return event


def _utc() -> icalendar.Timezone:
    standard = icalendar.TimezoneStandard()
    standard.add("dtstart", datetime(1970, 1, 1))  # noqa: DTZ001 - local, as §3.6.5 requires
    standard.add("tzoffsetfrom", timedelta())
    standard.add("tzoffsetto", timedelta())
    zone = icalendar.Timezone()
    zone.add("tzid", "UTC")
    zone.add_component(standard)
    return zone


def _round_up(instant: datetime) -> datetime:
    whole = instant.replace(microsecond=0)
    return whole if whole == instant else whole + SECOND
