"""Bookings of all cars that overlap a range, found in the next rows or by indexes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.dialects import postgresql, sqlite

from automart.core.db import db, transaction
from automart.inventory import overlaps
from automart.inventory.models import LENGTHS, Booking, BookingStatus
from tests.support.databases import on_sqlite
from tests.support.inventory import day, iso, make_booking, make_car, statements

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, tzinfo=UTC)
AROUND_LIMITS = [
    timedelta(days=days) + timedelta(microseconds=microseconds)
    for days in LENGTHS
    for microseconds in (-1, 0, 1, 400, 600)
]


def _times(random: Random) -> tuple[datetime, datetime]:
    length = random.choice([*AROUND_LIMITS, timedelta(days=0.2), timedelta(days=4000)])
    start = day(random.choice([random.uniform(0, 500), random.randrange(500)]))
    return random.choice([(start, start + length), (FIRST, FIRST + length), (FIRST, LAST)])


def _add_bookings(random: Random, count: int) -> list[Booking]:
    car = make_car()
    start, end = day(0), day(1)
    template = make_booking(car, status=BookingStatus.CANCELLED)
    columns = {c.key: getattr(template, c.key) for c in Booking.__mapper__.columns}
    bookings = []
    for _ in range(count):
        start, end = _times(random)
        values = {"start_datetime": start, "end_datetime": end, "uid": None, "id": None}
        bookings.append(Booking(**{k: v for k, v in (columns | values).items() if v is not None}))
    with transaction():
        db.session.add_all(bookings)
    return [template, *bookings]


@pytest.mark.parametrize("near", [0, 30])
def test_both_ways_find_what_overlaps(
    app: Flask, monkeypatch: pytest.MonkeyPatch, near: int
) -> None:
    monkeypatch.setattr(overlaps, "NEAR", near)
    random = Random(7)
    bookings = _add_bookings(random, 120)
    status = BookingStatus.CANCELLED
    edges = [time for b in bookings[:20] for time in (b.start_datetime, b.end_datetime)]
    for _ in range(15):
        start, end = sorted((random.choice(edges), random.choice([*edges, day(250), LAST])))
        for first, last in ((start, end), (start, None), (None, end)):
            expected = [
                booking.id
                for booking in bookings
                if (first is None or booking.end_datetime > first)
                and (last is None or booking.start_datetime < last)
            ]
            after = random.choice([None, random.choice(bookings).id])
            found = overlaps.find_overlapping(first, last, status, after, 20)
            assert [b.id for b in found] == [i for i in expected if i > (after or 0)][:20]
    assert not overlaps.find_overlapping(FIRST, LAST, BookingStatus.CONFIRMED, None, 20)


@on_sqlite
def test_the_next_rows_are_read_first_and_the_indexes_only_if_they_fill_no_page(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [make_booking(make_car(), n, n + 1).id for n in range(3)]
    for near, unions in ((2, [0]), (1, [0, len(LENGTHS)])):
        monkeypatch.setattr(overlaps, "NEAR", near)
        with statements() as all_statements:
            found = overlaps.find_overlapping(day(0), day(9), BookingStatus.CONFIRMED, None, 2)
        assert [booking.id for booking in found] == expected[:2]
        executed = [statement for statement in all_statements if "FROM booking" in statement]
        assert [statement.count("UNION ALL") for statement in executed] == unions
        assert [statement.count("ORDER BY") for statement in executed] == [2] * len(unions)
        assert executed[0].count("LIMIT") == 2


@on_sqlite
def test_a_booking_at_the_limit_of_a_part_is_in_one_part(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlaps, "NEAR", 0)
    expected = [make_booking(make_car(), 0, 4000).id for _ in range(2)]
    for days in LENGTHS:
        start = day(days) + overlaps.TOLERANCE
        found = overlaps.find_overlapping(start, None, None, None, 2)
        assert [booking.id for booking in found] == expected, days


def test_pages_of_a_range_have_every_booking_once(
    as_user: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlaps, "NEAR", 2)
    car = make_car()
    expected = [make_booking(car, n, n + 1).id for n in range(7)]
    query = {"start_datetime": iso(day(0.5)), "end_datetime": iso(day(5.5)), "limit": 2}
    found: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = as_user.get("/v1/bookings", query_string=query | {"cursor": cursor}).get_json()
        found += [booking["id"] for booking in page["items"]]
        cursor = page["next_cursor"]
    assert found == expected[:6]


def test_indexes_serve_each_part_of_a_range(app: Flask) -> None:
    """With tables of this size, PostgreSQL uses an index only if it may not scan."""
    is_postgresql = db.engine.dialect.name == "postgresql"
    dialect = postgresql.dialect() if is_postgresql else sqlite.dialect()  # type: ignore[no-untyped-call]
    plans = []
    with db.engine.connect() as connection:
        for part in overlaps._parts(day(0)):
            query = db.select(Booking.id).where(part, Booking.end_datetime > day(0))
            sql = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
            if is_postgresql:
                connection.execute(text("SET LOCAL enable_seqscan = off"))
                connection.execute(text("SET LOCAL enable_bitmapscan = off"))
            explain = "EXPLAIN" if is_postgresql else "EXPLAIN QUERY PLAN"
            plans.append(
                str(connection.execute(text(f"{explain} {sql}".replace(":", "\\:"))).all())
            )
    names = ["start_datetime_end_datetime_id", *(f"over_{days}_days" for days in LENGTHS)]
    for plan, name in zip(plans, names, strict=True):
        assert f"ix_booking_{name}" in plan
