"""Factories of dealers, cars and bookings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import event

from automart.catalogue.models import VehicleMake, VehicleModel
from automart.core.db import Model, db, transaction
from automart.core.errors import FIELDS_ARE_WRONG
from automart.customers.models import Customer
from automart.inventory.models import Booking, Car, Dealer

HONDA, TOYOTA = 474, 448
MAKES = {HONDA: "Honda", TOYOTA: "Toyota"}
MODELS = {1861: (HONDA, "Accord"), 1863: (HONDA, "Civic"), 2208: (TOYOTA, "Corolla")}

# A day in the future that no test outlives, at which days are counted from.
DAY_0 = datetime(2090, 1, 1, tzinfo=UTC)

RowT = TypeVar("RowT", bound=Model)

_numbers = itertools.count(1)


def stored(row: RowT) -> RowT:
    """Store `row` and detach it from the session, which the requests of a test share."""
    with transaction():
        db.session.add(row)
    db.session.expunge_all()
    return row


def day(number: float) -> datetime:
    return DAY_0 + timedelta(days=number)


def iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def new_vin() -> str:
    """Return a new VIN. It is European, because these have no check digit."""
    return f"WBA{next(_numbers):014d}"


def add_catalogue() -> None:
    with transaction():
        db.session.add_all(VehicleMake(id=ident, name=name) for ident, name in MAKES.items())
        db.session.flush()
        db.session.add_all(
            VehicleModel(id=ident, make_id=make_id, name=name)
            for ident, (make_id, name) in MODELS.items()
        )


def make_dealer(**values: Any) -> Dealer:
    dealer: Dealer = stored(Dealer(**{"name": "Oscar Mobility", "location": "Munich"} | values))
    return dealer


def make_car(**values: Any) -> Car:
    """Store a Honda Civic, and the dealer and the catalogue if they are missing."""
    if db.session.get(VehicleMake, HONDA) is None:
        add_catalogue()
    if "dealer_id" not in values:
        dealer = db.session.query(Dealer).order_by(Dealer.id).first() or make_dealer()
        values["dealer_id"] = dealer.id
    defaults = {
        "make_id": HONDA,
        "model": "Civic",
        "year": 2024,
        "color": "red",
        "daily_price": Decimal("49.90"),
        "vin": new_vin(),
    }
    car: Car = stored(Car(**defaults | values))
    return car


def make_customer(**values: Any) -> Customer:
    defaults = {"first_name": "Zoë", "last_name": "Doe", "email": "zoe@example.com"}
    customer: Customer = stored(Customer(**defaults | values))
    return customer


def make_booking(car: Car, start: float = 0, end: float = 1, **values: Any) -> Booking:
    """Store a booking, from and to a number of days after `DAY_0`."""
    defaults = {
        "car_id": car.id,
        "customer_name": "John Doe",
        "customer_email": "john@example.com",
        "start_datetime": day(start),
        "end_datetime": day(end),
        "daily_price": car.daily_price,
    }
    booking = Booking(**defaults | values)
    booking.set_price()
    return stored(booking)


def car_body(of_dealer: int, **values: Any) -> dict[str, Any]:
    return {
        "brand": "Honda",
        "model": "Civic",
        "year": 2024,
        "color": "red",
        "daily_price": 49.9,
        "vin": new_vin(),
        "dealer_id": of_dealer,
    } | values


def booking_body(of_car: int, start: datetime | str, end: datetime | str, **values: Any) -> Any:
    return {
        "car_id": of_car,
        "customer_name": "John Doe",
        "customer_email": "john@example.com",
        "start_datetime": start if isinstance(start, str) else iso(start),
        "end_datetime": end if isinstance(end, str) else iso(end),
    } | values


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def timeless(body: dict[str, Any]) -> dict[str, Any]:
    """Return `body` without `updated_at`."""
    return without(body, "updated_at")


def pointers(response: Any) -> set[str]:
    """Return the pointers of a body that was refused with 422."""
    assert response.status_code == 422, response.get_data(as_text=True)
    assert response.mimetype == "application/problem+json"
    return _named(response, "pointer")


def parameters(response: Any) -> set[str]:
    """Return the parameters of a query that was refused with 422."""
    assert response.status_code == 422, response.get_data(as_text=True)
    return _named(response, "parameter")


def _named(response: Any, where: str) -> set[str]:
    problem = response.get_json()
    assert problem["detail"] == FIELDS_ARE_WRONG
    for error in problem["errors"]:
        assert error.keys() == {"detail", where}
        assert isinstance(error["detail"], str)
    return {error[where] for error in problem["errors"]}


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the statements that the application executes in a `with` block."""
    executed: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield executed
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def ids(response: Any) -> list[int]:
    """Return the ids of a list."""
    assert response.status_code == 200, response.get_data(as_text=True)
    return [item["id"] for item in response.get_json()["items"]]
