"""Page 10,000 of a list beside LIMIT and OFFSET, and bookings of a range beside the plain query."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.engine import Connection

from automart.core.compiled_statement import CompiledStatement
from automart.core.db import db, read, rows_of
from automart.core.db_engine import wait_without_limit
from automart.inventory.availability import bookings_within
from automart.inventory.models import Booking
from automart.inventory.overlaps import find_overlapping
from automart.web.pagination import page_of_all
from benchmarks.comparison import Comparison, Size, alternately
from benchmarks.support import databases, quiet_app
from tests.support.inventory import make_car

PAGE = 50
DEEP = 10_000
TIMES = 5
DAY = timedelta(days=1)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 1_000
"""Bookings start evenly over this time. One in ten is for two weeks, one in a hundred for 60 days,
the others for up to six days. They are cancelled, so that they may overlap."""

LENGTH = (
    "CASE WHEN n % 100 = 0 THEN 5184000 WHEN n % 10 = 0 THEN 1209600 ELSE 3600 * (4 + n * 7 % 140)"
    " END"
)
INSERT = """
INSERT INTO booking (car_id, customer_name, start_datetime, end_datetime, status, daily_price,
    total_price, uid, revision, created_at, updated_at)
SELECT {car}, 'x', {start}, {end}, 'cancelled', 50, 50, {uid}, 0, {start}, {start}
FROM {numbers}
"""
START = "{first} + CAST(n AS BIGINT) * {days} * 86400 / {rows}"
SQLITE = {
    "time": "strftime('%Y-%m-%d %H:%M:%S.000000', {seconds}, 'unixepoch')",
    "uid": "lower(hex(randomblob(16)))",
    "numbers": "(WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r LIMIT {rows})"
    " SELECT n FROM r) AS numbers",
}
POSTGRESQL = {
    "time": "to_timestamp({seconds})",
    "uid": "gen_random_uuid()",
    "numbers": "generate_series(0, {rows} - 1) AS n",
}


def compare(size: Size) -> Iterator[Comparison]:
    with databases(size.database) as found:
        for database, url in found:
            with quiet_app(url, "http://127.0.0.1:9"):
                fill(size.rows)
                for what, reference, ours, plain, aim in _cases(size.rows):
                    pairs = alternately(partial(_ms, ours), partial(_ms, plain), size.rounds)
                    yield Comparison(
                        what, database, reference, "ms", aim, pairs, less_is_better=True
                    )


Query = Callable[[], list[int]]


def _cases(rows: int) -> Iterator[tuple[str, str, Query, Query, float | None]]:
    deep = min(DEEP, rows // PAGE - 10)
    last = deep * PAGE
    first_page, deep_page = partial(_page, 0), partial(_page, last)
    offset = rows_of(Booking).order_by(Booking.id).limit(PAGE + 1).offset(last)
    at_offset = partial(_ids_of_rows, CompiledStatement(offset))
    yield f"page {deep:,} of {rows:,} bookings", "OFFSET", deep_page, at_offset, 100
    yield f"page {deep:,} of {rows:,} bookings", "page 1", deep_page, first_page, None
    middle = FIRST + DAYS * DAY / 2
    for what, start, end in (
        ("bookings of a day in the middle", middle, middle + DAY),
        ("bookings of the last day", FIRST + DAYS * DAY - DAY, FIRST + DAYS * DAY),
        ("bookings of a month", middle, middle + 30 * DAY),
        ("bookings of a day without any", FIRST - DAY, FIRST),
        ("bookings from the middle on", middle, None),
    ):
        within = bookings_within(select(Booking), start, end)
        plain = partial(_ids, within.order_by(Booking.id).limit(PAGE + 1))
        if sorted(plain()) != sorted(_found(start, end)):
            raise SystemExit(f"The two queries do not find the same: {what}.")
        yield what, "plain query", partial(_found, start, end), plain, None


def _page(last: int) -> list[int]:
    page = page_of_all(Booking.id, newest_first=False, is_continued=True)
    return _ids_of_rows(page, last=last, count=PAGE + 1)


def _found(start: datetime, end: datetime | None) -> list[int]:
    return [booking.id for booking in find_overlapping(start, end, None, None, PAGE + 1)]


def _ids(statement: Select[Any]) -> list[int]:
    return [booking.id for booking in db.session.scalars(statement)]


def _ids_of_rows(statement: CompiledStatement, **parameters: int) -> list[int]:
    return [row.id for row in read(statement, **parameters)]


def _ms(query: Query) -> float:
    """Return the milliseconds of a query, the best of several."""
    times = []
    for _ in range(TIMES):
        db.session.rollback()
        db.session.expunge_all()
        began = time.perf_counter()
        query()
        times.append((time.perf_counter() - began) * 1000)
    return min(times)


def fill(rows: int) -> None:
    """Add bookings, in the order of their starts."""
    car = make_car().id
    db.session.rollback()
    is_postgresql = db.engine.dialect.name == "postgresql"
    dialect = POSTGRESQL if is_postgresql else SQLITE
    start = START.format(first=int(FIRST.timestamp()), days=DAYS, rows=rows)
    insert = INSERT.format(
        car=car,
        start=dialect["time"].format(seconds=start),
        end=dialect["time"].format(seconds=f"{start} + {LENGTH}"),
        uid=dialect["uid"],
        numbers=dialect["numbers"].format(rows=rows),
    )
    with _writing() as connection:
        connection.exec_driver_sql(insert.replace("%", "%%") if is_postgresql else insert)
    with _writing() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE booking" if is_postgresql else "ANALYZE")


@contextmanager
def _writing() -> Iterator[Connection]:
    """Yield a connection whose statements may take any time, and are committed."""
    if db.engine.dialect.name != "postgresql":
        with db.engine.begin() as connection:
            yield connection
        return
    with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        wait_without_limit(connection)
        yield connection
        connection.invalidate()  # the next one has limits again
