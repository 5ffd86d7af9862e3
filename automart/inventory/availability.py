"""When cars are booked and when they are free.

The confirmed bookings of a car never overlap. So if any of them overlaps a range, then the last one
that starts before the end of the range does, and an index finds it at once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Row,
    Select,
    bindparam,
    func,
    literal_column,
    select,
)

from automart.core.db import db
from automart.core.errors import FIELDS_ARE_WRONG, Conflict, Invalid
from automart.inventory.models import Booking, Car, CarStatus
from automart.web.fields import rfc3339

# The databases use their indexes of confirmed bookings only if the statement contains the literal.
IS_CONFIRMED = Booking.status == literal_column("'confirmed'")

# The last booking of a car that starts before a time.
_LAST_BEFORE = (
    select(Booking.id, Booking.start_datetime, Booking.end_datetime)
    .where(
        Booking.car_id == bindparam("of_car"),
        IS_CONFIRMED,
        Booking.start_datetime < bindparam("end"),
    )
    .order_by(Booking.start_datetime.desc())
    .limit(1)
)


def available_cars(start: datetime, end: datetime) -> Select[Any]:
    """Return a query for the cars that are not in maintenance and free for the whole range.

    Raises `Invalid` if the range does not end after it starts.
    """
    check_query_range(start, end)
    return select(Car).where(Car.status == CarStatus.AVAILABLE, is_free(start, end))


def bookings_within(
    statement: Select[Any], start: datetime | None, end: datetime | None
) -> Select[Any]:
    """Return `statement` for bookings that overlap a range, which is open where it is None.

    Raises `Invalid` if the range does not end after it starts.
    """
    if start is not None and end is not None:
        check_query_range(start, end)
    if start is not None:
        statement = statement.where(Booking.end_datetime > start)
    if end is not None:
        statement = statement.where(Booking.start_datetime < end)
    return statement


def check_query_range(
    start: datetime, end: datetime, *, names: tuple[str, str] = ("start_datetime", "end_datetime")
) -> None:
    """Raise `Invalid` unless a range in a query ends after it starts. `names` are its
    parameters."""
    if end <= start:
        error = {"detail": f"Must be after `{names[0]}`.", "parameter": names[1]}
        raise Invalid(FIELDS_ARE_WRONG, errors=[error])


def check_available(
    car: Car | Row[Any], start: datetime, end: datetime, *, moved: Booking | None = None
) -> None:
    """Raise `Conflict` unless a locked car can be booked for the whole range.

    `moved` is the booking that is moved to this range. It does not conflict with itself.
    """
    if car.status is CarStatus.MAINTENANCE:
        raise Conflict(f"Car {car.id} is in maintenance.")
    last = _LAST_BEFORE if moved is None else _LAST_BEFORE.where(Booking.id != moved.id)
    parameters = {"of_car": car.id, "end": end}
    booking = db.session.execute(last, parameters).one_or_none()
    if booking is not None and booking.end_datetime > start:
        raise booking_conflict(f"Car {car.id} is booked", booking)


def booking_conflict(problem: str, booking: Booking | Row[*tuple[Any, ...]]) -> Conflict:
    """Return the error that `problem` is caused by a booking, with its range."""
    start, end = rfc3339(booking.start_datetime), rfc3339(booking.end_datetime)
    return Conflict(
        f"{problem} from {start} to {end}.",
        in_the_way={"booking_id": booking.id, "start_datetime": start, "end_datetime": end},
    )


def is_free(
    start: datetime | BindParameter[datetime], end: datetime | BindParameter[datetime]
) -> ColumnElement[bool]:
    """Return the condition that a car has no confirmed booking within the range."""
    # NOT EXISTS would mean the same, but would be planned as a join with all bookings.
    end_of_last = (
        select(Booking.end_datetime)
        .where(Booking.car_id == Car.id, IS_CONFIRMED, Booking.start_datetime < end)
        .order_by(Booking.start_datetime.desc())
        .limit(1)
        .correlate(Car)
        .scalar_subquery()
    )
    return func.coalesce(end_of_last <= start, True)
