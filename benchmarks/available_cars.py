"""The first page of available cars: all cars, a tenth of them, and the obvious query.

`python -m benchmarks.available_cars` fills databases with up to 1,000,000 bookings of 10,000 cars.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask_migrate
from rich.console import Console
from rich.table import Table
from sqlalchemy import Select, func, select, text
from sqlalchemy.engine import Connection

from automart import create_app
from automart.core.config import Settings
from automart.core.db import db
from automart.inventory.availability import available_cars
from automart.inventory.models import Booking, BookingStatus, Car, CarStatus
from tests.support import postgresql

LARGE = 10_000
BOOKINGS_OF_A_CAR = 100
PAGE = 51
ROUNDS = 30
MOST = 2
"""The full data may cost at most this many times as much as a tenth of it."""

# Every car is booked for twelve hours of each day for 100 days, from a different hour on.
FIRST = datetime(2030, 1, 1, tzinfo=UTC)
START = FIRST + timedelta(days=BOOKINGS_OF_A_CAR / 2)
END = START + timedelta(hours=2)

DEALER = "INSERT INTO dealer (name, location) VALUES ('A dealer', 'Munich')"
MAKE = "INSERT INTO vehicle_make (id, name, name_folded) VALUES (474, 'Honda', 'honda')"
CAR = """
INSERT INTO car (make_id, model, model_folded, year, color, daily_price, vin, status, dealer_id)
SELECT 474, 'Civic', 'civic', 2024, 'red', 50, {vin}, 'available', 1 FROM {numbers}
"""
BOOKING = """
INSERT INTO booking (car_id, customer_name, start_datetime, end_datetime, status, daily_price,
    total_price, uid, revision, created_at, updated_at)
SELECT car.id, 'x', {start}, {end}, 'confirmed', 50, 50, {uid}, 0, {now}, {now}
FROM car, {numbers} ORDER BY n, car.id
"""
POSTGRESQL = {
    "numbers": "generate_series(0, {count} - 1) AS n",
    "vin": "'WBA' || lpad(n::text, 14, '0')",
    "start": "to_timestamp({first} + n * 86400 + car.id * 7919 % 24 * 3600)",
    "end": "to_timestamp({first} + n * 86400 + car.id * 7919 % 24 * 3600 + 43200)",
    "uid": "gen_random_uuid()",
    "now": "now()",
}
SQLITE = {
    "numbers": "(WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r LIMIT {count})"
    " SELECT n FROM r) AS numbers",
    "vin": "printf('WBA%014d', n)",
    "start": "strftime('%Y-%m-%d %H:%M:%S.000000',"
    " {first} + n * 86400 + car.id * 7919 % 24 * 3600, 'unixepoch')",
    "end": "strftime('%Y-%m-%d %H:%M:%S.000000',"
    " {first} + n * 86400 + car.id * 7919 % 24 * 3600 + 43200, 'unixepoch')",
    "uid": "lower(hex(randomblob(16)))",
    "now": "'2030-01-01 00:00:00.000000'",
}


@dataclass(frozen=True, slots=True)
class Costs:
    """The times of first pages in milliseconds: the median of many, and a single one."""

    ours: float
    obvious: float


def main(*_arguments: str) -> None:
    """Measure on both databases and print a table. Fail if the cost grows with the data."""
    table = Table(title="The first page of available cars", caption=f"ms; ours: median of {ROUNDS}")
    for name in ("database", "cars", "bookings", "Automart", "NOT EXISTS, no index"):
        table.add_column(name, justify="left" if name == "database" else "right")
    slow = []
    for name, measured in (("SQLite", on_sqlite()), ("PostgreSQL", on_postgresql())):
        for cars, costs in measured.items():
            bookings = f"{cars * BOOKINGS_OF_A_CAR:,}"
            row = (f"{cars:,}", bookings, f"{costs.ours:.2f}", f"{costs.obvious:.1f}")
            table.add_row(name, *row)
        if measured and measured[LARGE].ours > MOST * measured[LARGE // 10].ours:
            slow.append(name)
    Console().print(table)
    if slow:
        raise SystemExit(f"The cost grows with the data on {' and '.join(slow)}.")


def on_sqlite() -> dict[int, Costs]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        return {n: costs(f"sqlite:///{path}/{n}.sqlite", path, n) for n in (LARGE // 10, LARGE)}


def on_postgresql() -> dict[int, Costs]:
    """Measure on PostgreSQL. Return nothing if it is not installed."""
    measured: dict[int, Costs] = {}
    try:
        with postgresql.server() as server, tempfile.TemporaryDirectory() as folder:
            for cars in (LARGE // 10, LARGE):
                database = postgresql.create_database(server)
                url = database.render_as_string(hide_password=False)
                measured[cars] = costs(url, Path(folder), cars)
                postgresql.drop_database(server, database)
    except postgresql.Unavailable as reason:
        print(f"Not measured on PostgreSQL: {reason}")
    return measured


def costs(database_url: str, instance: Path, cars: int) -> Costs:
    """Fill an empty database and measure both queries."""
    with filled(database_url, instance, cars):
        stored = db.session.scalar(select(func.count(Booking.id)))
        if stored != cars * BOOKINGS_OF_A_CAR:
            raise SystemExit(f"There are {stored} bookings, and not as many as there should be.")
        ours = available_cars(START, END)
        found = ids_of(ours)
        cost = median_of(lambda: first_page(ours))
        drop_indexes()
        started = time.perf_counter()
        if ids_of(obvious_query()) != found:
            raise SystemExit("The two queries do not find the same cars.")
        return Costs(cost, (time.perf_counter() - started) * 1000)


@contextmanager
def filled(database_url: str, instance: Path, cars: int) -> Iterator[None]:
    settings = Settings(
        instance=instance,
        database_url=database_url,
        redis_url="unix:///nowhere/redis.sock",
        secret_key="known to every reader of the benchmarks",
    )
    app = create_app(settings)
    with app.app_context():
        flask_migrate.upgrade()
        with db.engine.begin() as connection, unconstrained(connection):
            fill(connection, cars)
        with db.engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE")
        yield
        db.session.remove()
        db.engine.dispose()


@contextmanager
def unconstrained(connection: Connection) -> Iterator[None]:
    """Drop the exclusion constraint for a while: creating it is faster than maintaining it."""
    if connection.dialect.name != "postgresql":
        yield
        return
    rule = connection.exec_driver_sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'no_double_booking'"
    ).scalar_one()
    connection.exec_driver_sql("ALTER TABLE booking DROP CONSTRAINT no_double_booking")
    yield
    connection.exec_driver_sql(f"ALTER TABLE booking ADD CONSTRAINT no_double_booking {rule}")


def fill(connection: Connection, cars: int) -> None:
    dialect = POSTGRESQL if connection.dialect.name == "postgresql" else SQLITE
    connection.exec_driver_sql(DEALER)
    connection.exec_driver_sql(MAKE)
    for statement, count in ((CAR, cars), (BOOKING, BOOKINGS_OF_A_CAR)):
        values = {"count": count, "first": int(FIRST.timestamp())}
        parts = {name: part.format(**values) for name, part in dialect.items()}
        connection.execute(text(statement.format(**parts).replace(":", "\\:")))


def obvious_query() -> Select[Any]:
    in_the_way = (
        select(Booking.id)
        .where(Booking.car_id == Car.id, Booking.status == BookingStatus.CONFIRMED)
        .where(Booking.start_datetime < END, Booking.end_datetime > START)
    )
    return select(Car).where(Car.status == CarStatus.AVAILABLE, ~in_the_way.exists())


def drop_indexes() -> None:
    """Drop all indexes of bookings except the primary key."""
    with db.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ALTER TABLE booking DROP CONSTRAINT no_double_booking")
        for index in Booking.metadata.tables["booking"].indexes:
            connection.exec_driver_sql(f"DROP INDEX {index.name}")


def first_page(cars: Select[Any]) -> None:
    db.session.scalars(cars.order_by(Car.id).limit(PAGE)).all()
    db.session.rollback()
    db.session.expunge_all()


def ids_of(cars: Select[Any]) -> list[int]:
    found = list(db.session.scalars(cars.order_by(Car.id).limit(PAGE).with_only_columns(Car.id)))
    db.session.rollback()
    return found


def median_of(action: Callable[[], None]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        action()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
