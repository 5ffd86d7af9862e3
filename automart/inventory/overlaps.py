"""Bookings of all cars that overlap a range, in the order of their ids.

A booking that started long before a range overlaps it only if it is long. So what started within
two days before the end of the range is one part of the result, and each class of longer bookings is
another one, which an index of only these bookings finds (`LENGTHS` in the models).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, TextClause, and_, select, text, true, union_all
from sqlalchemy.orm import aliased

from automart.core.db import db
from automart.inventory.models import LENGTHS, Booking, BookingStatus, longer_than

# Reading this many rows takes less time than a long range takes with an index.
NEAR = 2_000
# SQLite computes lengths to the millisecond.
TOLERANCE = timedelta(seconds=1)
_FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)


def find_overlapping(
    start: datetime | None,
    end: datetime | None,
    status: BookingStatus | None,
    last_id: int | None,
    count: int,
) -> Sequence[Booking]:
    """Return the first `count` bookings after `last_id` that overlap a range, which is open where
    it is None."""
    # A long range fills its page from the next few rows, while an index would find and sort all of
    # its bookings. Databases would have to guess, and a wrong guess costs a scan of the table.
    bookings = _near(start, end, status, last_id or 0, count)
    if len(bookings) == count:
        return bookings
    return _by_index(start, end, status, last_id or 0, count)


def _near(
    start: datetime | None,
    end: datetime | None,
    status: BookingStatus | None,
    after: int,
    count: int,
) -> Sequence[Booking]:
    """Find the page among the next few rows."""
    rows = select(Booking).where(Booking.id > after).order_by(Booking.id).limit(NEAR)
    row = aliased(Booking, rows.subquery())
    matches = select(row).where(_overlaps(row, start, end), _has_status(row, status))
    return db.session.scalars(matches.order_by(row.id).limit(count)).all()


def _by_index(
    start: datetime | None,
    end: datetime | None,
    status: BookingStatus | None,
    after: int,
    count: int,
) -> Sequence[Booking]:
    """Find all bookings of the range by indexes, and sort their ids."""
    parts = _parts(start) if start is not None else [true()]
    overlaps = _overlaps(Booking, start, end) & _has_status(Booking, status)
    rows = [select(Booking.id).where(p, overlaps, Booking.id > after) for p in parts]
    ids = union_all(*rows).subquery()
    # Sorting by a sum keeps PostgreSQL from scanning the table in the order of the primary key.
    first = select(ids.c.id).order_by(ids.c.id + 0).limit(count).subquery()
    page = select(Booking).where(Booking.id.in_(select(first.c.id)))
    return db.session.scalars(page.order_by(Booking.id)).all()


def _overlaps(
    booking: type[Booking], start: datetime | None, end: datetime | None
) -> ColumnElement[bool]:
    after = true() if start is None else booking.end_datetime > start
    return after if end is None else after & (booking.start_datetime < end)


def _has_status(booking: type[Booking], status: BookingStatus | None) -> ColumnElement[bool]:
    return true() if status is None else booking.status == status


def _parts(start: datetime) -> Iterator[ColumnElement[bool]]:
    """Yield disjoint conditions, one of which every booking fulfils that ends after `start`."""
    latest: datetime | None = None
    shortest: int | None = None
    for longest in (*LENGTHS, None):
        earliest = None if longest is None else _earlier(start, longest)
        conditions: list[ColumnElement[bool] | TextClause] = []
        if earliest is not None:
            conditions.append(Booking.start_datetime > earliest)
        if latest is not None and shortest is not None:
            is_long = text(longer_than(shortest)[db.engine.dialect.name])
            conditions += [Booking.start_datetime <= latest, is_long]
        yield and_(true(), *conditions)
        if earliest is None:
            return
        latest, shortest = earliest, longest


def _earlier(instant: datetime, days: int) -> datetime | None:
    """Return the time a number of days before, None if there is none."""
    length = timedelta(days=days) + TOLERANCE
    return instant - length if instant - _FIRST_INSTANT > length else None
