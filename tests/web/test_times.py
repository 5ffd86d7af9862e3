"""`created_at` and `updated_at`, which are equal in a new resource, however it was added."""

from __future__ import annotations

import sqlalchemy
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts.models import Client, User
from automart.core.db import Timestamped, db, transaction
from automart.customers import csv as customers_csv
from automart.customers.models import Customer
from automart.inventory import csv as cars_csv
from automart.inventory.models import Booking, Car
from automart.purchases.models import Purchase
from tests.support.inventory import booking_body, car_body, day, make_car
from tests.support.people import PASSWORD
from tests.support.purchases import make_office, make_purchase


def add_all(client: FlaskClient) -> list[str]:
    """Add one of each kind. Return their paths."""
    car = make_car()
    user = {"email": "bob@example.com", "name": "Bob", "password": PASSWORD}
    sent = {
        "customers": {"first_name": "Ann", "last_name": "Lee"},
        "cars": car_body(car.dealer_id),
        "bookings": booking_body(car.id, day(1), day(2)),
        "users": user,
        "clients": {"name": "Prometheus", "kind": "service", "scopes": ["metrics"]},
    }
    paths = []
    for kind, body in sent.items():
        created = client.post(f"/v1/{kind}", json=body)
        assert created.status_code == 201, created.get_json()
        paths.append(created.headers["Location"])
    return [*paths, f"/v1/purchases/{make_purchase(make_office()).id}"]


def test_both_times_of_a_new_resource_are_equal(as_admin: FlaskClient) -> None:
    for path in add_all(as_admin):
        shown = as_admin.get(path).get_json()
        assert shown["created_at"] == shown["updated_at"], path


def test_an_update_changes_only_updated_at(as_admin: FlaskClient) -> None:
    changes = {
        "customers": {"phone": "1"},
        "cars": {"color": "blue"},
        "bookings": {"customer_name": "Ann Lee"},
        "users": {"name": "Robert"},
        "clients": {"name": "Another"},
    }
    for path in add_all(as_admin):
        kind = path.split("/")[-2]
        if kind in changes:
            before = as_admin.get(path).get_json()
            after = as_admin.patch(path, json=changes[kind]).get_json()
            assert after["created_at"] == before["created_at"]
            assert after["updated_at"] > before["updated_at"], path


def test_rows_added_in_bulk_have_equal_times(app: Flask) -> None:
    add = {"first_name": "Ann", "last_name": "Lee", "email": None, "phone": None}
    car = make_car()
    table = Car.__table__.columns
    cells = {
        column.name: getattr(car, column.name)
        for column in table
        if column.name not in ("id", "vin", "created_at", "updated_at")
    }
    with transaction():
        customers_csv.add_customers([add, add], None)
        cars_csv.add_cars([cells | {"vin": f"WBAX000000000000{n}"} for n in (2, 3)], None)
        user = {"email": "a@example.com", "email_folded": "a@example.com", "name": "A"}
        db.session.execute(sqlalchemy.insert(User).values(user | {"password_hash": "x"}))
    for model in (Customer, Car, User, Client):
        rows = db.session.scalars(sqlalchemy.select(model)).all()
        assert rows
        assert all(row.created_at == row.updated_at for row in rows), model


def test_every_table_with_both_times_is_tested() -> None:
    assert set(Timestamped.__subclasses__()) == {User, Client, Customer, Booking, Purchase}
