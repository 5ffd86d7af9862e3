"""The statements that add a booking."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Integer, Row, Select, bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from automart.core.compiled_statement import CompiledStatement
from automart.core.db import read, table_of, utcnow, write
from automart.core.text import email_key
from automart.customers.models import Customer
from automart.inventory.availability import is_free
from automart.inventory.models import Booking, BookingStatus, Car, CarStatus, started_days

_BOOKING, _CAR, _CUSTOMER = table_of(Booking), table_of(Car), table_of(Customer)
_GIVEN = [
    _BOOKING.c[name]
    for name in (
        "car_id",
        "customer_id",
        "customer_name",
        "customer_email",
        "customer_email_folded",
        "start_datetime",
        "end_datetime",
        "status",
        "uid",
        "revision",
        "created_at",
        "updated_at",
    )
]
CONTACT = ("customer_name", "customer_email")
"""Fields that a booking without a customer needs."""

_CUSTOMER_BY_ID = CompiledStatement(
    select(
        _CUSTOMER.c.first_name, _CUSTOMER.c.last_name, _CUSTOMER.c.email, _CUSTOMER.c.updated_at
    ).where(_CUSTOMER.c.id == bindparam("ident"))
)
_NEW = {column: bindparam(f"new_{column.name}", type_=column.type) for column in _GIVEN}
# The price is that of the locked car. A booking that was committed while the statement waited for
# the car is not seen by `is_free`, but by the constraint against double bookings. A customer that
# was renamed in that time keeps the old name here.
_ROW = (
    select(
        *_NEW.values(),
        _CAR.c.daily_price,
        _CAR.c.daily_price * bindparam("days", type_=Integer),
    )
    .where(_CAR.c.id == _NEW[_BOOKING.c.car_id])
    .with_for_update(key_share=True)
)
_VERSION_OF_CUSTOMER = (
    select(_CUSTOMER.c.updated_at)
    .where(_CUSTOMER.c.id == _NEW[_BOOKING.c.customer_id])
    .scalar_subquery()
)
_READ_VERSION = bindparam("customer_updated_at", type_=_CUSTOMER.c.updated_at.type)
_ROW_IF_FREE = _ROW.where(
    _CAR.c.status == CarStatus.AVAILABLE,
    is_free(_NEW[_BOOKING.c.start_datetime], _NEW[_BOOKING.c.end_datetime]),
    _VERSION_OF_CUSTOMER.is_not_distinct_from(_READ_VERSION),
)


def _insert(row: Select[Any]) -> CompiledStatement:
    columns = [*_GIVEN, _BOOKING.c.daily_price, _BOOKING.c.total_price]
    new = insert(_BOOKING).from_select(columns, row, include_defaults=False)
    return CompiledStatement(new.returning(*_BOOKING.columns))


_BOOK, _BOOK_IF_FREE = _insert(_ROW), _insert(_ROW_IF_FREE)


def book(values: Mapping[str, Any]) -> Row[Any]:
    """Add a booking in the current transaction, which has locked the car. Return its columns."""
    booked: Sequence[Row[Any]] = write(_BOOK, **_parameters(values))
    return booked[0]


def book_if_free(values: Mapping[str, Any]) -> Row[Any] | None:
    """Add a booking in a transaction of its own, and return its columns.

    That takes half of the time of one that locks the car first. Return None if it is not possible,
    for whatever reason.
    """
    version = None
    if values.get("customer_id") is not None:
        customers: Sequence[Row[Any]] = read(_CUSTOMER_BY_ID, ident=values["customer_id"])
        if not customers:
            return None
        values = {**contact_of(customers[0]), **values}
        version = customers[0].updated_at
    if any(name not in values for name in CONTACT):
        return None
    if values["end_datetime"] <= values["start_datetime"]:
        return None
    parameters = _parameters(values) | {"customer_updated_at": version}
    try:
        booked: Sequence[Row[Any]] = write(_BOOK_IF_FREE, **parameters)
    except IntegrityError:  # the car was booked since the statement began
        return None
    return booked[0] if booked else None


def contact_of(customer: Customer | Row[Any]) -> dict[str, Any]:
    """Return what a booking for a customer contains unless it is sent."""
    name = f"{customer.first_name} {customer.last_name}"
    return {"customer_name": name, "customer_email": customer.email}


def _parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    now, email = utcnow(), values["customer_email"]
    new = {
        "customer_id": None,
        **values,
        "customer_email_folded": None if email is None else email_key(email),
        "status": BookingStatus.CONFIRMED,
        "uid": uuid.uuid4(),
        "revision": 0,
        "created_at": now,
        "updated_at": now,
    }
    days = started_days(values["start_datetime"], values["end_datetime"])
    return {f"new_{name}": value for name, value in new.items()} | {"days": days}
