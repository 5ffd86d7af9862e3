"""The list of available cars, and the plan of its query."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, text

from automart.core.db import db, transaction
from automart.inventory.availability import available_cars
from automart.inventory.models import Booking, BookingStatus, Car, CarStatus
from tests.support.databases import on_sqlite
from tests.support.inventory import (
    TOYOTA,
    day,
    ids,
    iso,
    make_booking,
    make_car,
    make_dealer,
    new_vin,
    parameters,
    statements,
)


def free(client: FlaskClient, start: float, end: float, more: str = "") -> list[int]:
    times = f"start_datetime={iso(day(start))}&end_datetime={iso(day(end))}"
    return ids(client.get(f"/v1/bookings/available-cars?{times}&{more}".rstrip("&")))


class TestAvailableCars:
    def test_a_car_is_available_before_and_after_its_bookings(self, as_user: FlaskClient) -> None:
        car, other = make_car(), make_car()
        for start, end in ((0, 1), (2, 4), (8, 9)):
            make_booking(car, start, end)
        make_booking(car, 5, 6, status=BookingStatus.CANCELLED)
        for start, end in ((-1, 0), (1, 2), (4, 8), (9, 99), (5, 6)):
            assert free(as_user, start, end) == [car.id, other.id], (start, end)
        for start, end in ((-1, 0.1), (0, 1), (1, 3), (3, 3.5), (3, 9), (-9, 99), (8.5, 20)):
            assert free(as_user, start, end) == [other.id], (start, end)

    def test_a_car_in_maintenance_is_not_listed(self, as_user: FlaskClient) -> None:
        make_car(status=CarStatus.MAINTENANCE)
        assert free(as_user, 0, 1) == []

    def test_available_cars_are_filtered(self, as_user: FlaskClient) -> None:
        dealer_id = make_dealer().id
        civic = make_car(daily_price=Decimal("10.00"), dealer_id=dealer_id).id
        corolla = make_car(make_id=TOYOTA, model="Corolla", dealer_id=make_dealer().id).id
        for query, found in {
            "brand=TOYOTA": [corolla],
            "model=civic": [civic],
            f"dealer_id={dealer_id}": [civic],
            "max_daily_price=10": [civic],
            "max_daily_price=9.99": [],
            "max_daily_price=9999999.99": [civic, corolla],
        }.items():
            assert free(as_user, 0, 1, query) == found, query

    @on_sqlite
    @pytest.mark.parametrize(
        ("query", "wrong"),
        [
            ("", {"start_datetime", "end_datetime"}),
            (f"start_datetime={iso(day(0))}", {"end_datetime"}),
            (f"start_datetime={iso(day(1))}&end_datetime={iso(day(1))}", {"end_datetime"}),
            (f"start_datetime={iso(day(0))}&end_datetime={iso(day(1))}&year=1", {"year"}),
            (
                f"start_datetime={iso(day(0))}&end_datetime={iso(day(1))}&max_daily_price=1e3",
                {"max_daily_price"},
            ),
        ],
    )
    def test_a_bad_query_for_available_cars_is_refused(
        self, as_user: FlaskClient, query: str, wrong: set[str]
    ) -> None:
        assert parameters(as_user.get(f"/v1/bookings/available-cars?{query}")) == wrong

    def test_a_list_of_available_cars_has_pages(self, as_user: FlaskClient) -> None:
        cars = [make_car() for _ in range(6)]
        make_booking(cars[1])
        make_booking(cars[4])
        times = f"start_datetime={iso(day(0))}&end_datetime={iso(day(1))}"
        first = as_user.get(f"/v1/bookings/available-cars?{times}&limit=2")
        assert ids(first) == [cars[0].id, cars[2].id]
        next_url = first.headers["Link"].partition("<")[2].partition(">")[0]
        assert ids(as_user.get(next_url)) == [cars[3].id, cars[5].id]


class TestCost:
    """The plan shows that the cost does not grow with the number of bookings."""

    CARS, BOOKINGS_OF_EACH = 300, 40

    @pytest.fixture
    def stock(self, app: Flask) -> None:
        car = make_car()
        same = {"make_id": car.make_id, "model": "Civic", "model_folded": "civic", "year": 2024}
        same |= {"color": "red", "daily_price": Decimal(1), "dealer_id": car.dealer_id}
        cars = [same | {"vin": new_vin(), "status": "available"} for _ in range(self.CARS)]
        with transaction():
            db.session.execute(insert(Car), cars)
            first = db.session.scalar(text("SELECT min(id) FROM car")) or 0
            db.session.execute(
                insert(Booking),
                [self._booking(first + n, m) for n in range(self.CARS) for m in range(40)],
            )
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")

    def _booking(self, car_id: int, number: int) -> dict[str, Any]:
        return {
            "car_id": car_id,
            "customer_name": "x",
            "start_datetime": day(number),
            "end_datetime": day(number + 0.5),
            "daily_price": Decimal(1),
            "total_price": Decimal(1),
        }

    @pytest.mark.usefixtures("stock")
    def test_the_query_uses_an_index_for_each_car(self, as_user: FlaskClient) -> None:
        with statements() as executed:
            assert len(free(as_user, 20.6, 20.9)) == 50
        (query,) = [s for s in executed if "booking" in s]
        assert "LIMIT" in query
        plan = self._plan()
        assert "ix_booking_confirmed" in plan
        assert "SCAN booking" not in plan
        assert "Seq Scan on booking" not in plan

    def _plan(self) -> str:
        cars = available_cars(day(20.6), day(20.9)).order_by(Car.id).limit(51)
        dialect = db.engine.dialect
        explain = "EXPLAIN" if dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        query = cars.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        with db.engine.connect() as connection:
            return str(connection.execute(text(f"{explain} {query}")).all())
