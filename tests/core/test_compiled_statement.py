"""Statements that the driver executes: they return what the session returns."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import bindparam, func, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool

from automart.accounts.models import Client, Login, User
from automart.background import Job, kinds, submit
from automart.core.compiled_statement import CompiledStatement
from automart.core.db import Model, db, read, rows_of, table_of, transaction, write
from automart.customers.models import Customer
from automart.inventory.models import Car
from tests.support import inventory, people, postgresql
from tests.support.databases import on_postgresql, on_sqlite


def test_rows_of_every_type_are_those_of_the_session(
    app: Flask, as_user: FlaskClient, subtests: pytest.Subtests
) -> None:
    with transaction():
        submit(kinds.VEHICLE_SYNC)
    inventory.make_car()
    models: tuple[type[Model], ...] = (User, Client, Login, Job, Car)
    for model in models:
        with subtests.test(model.__name__):
            rows = read(CompiledStatement(rows_of(model)))
            assert [row._asdict() for row in rows] == [
                dict(row._mapping) for row in db.session.execute(rows_of(model))
            ]
            assert rows


def test_a_read_in_a_transaction_sees_its_changes(app: Flask) -> None:
    table = table_of(User)
    query = CompiledStatement(select(table.c.email).where(table.c.id == bindparam("ident")))
    user = people.make_user()
    with transaction():
        db.session.get_one(User, user.id).email = "new@example.com"
        db.session.flush()
        assert read(query, ident=user.id)[0].email == "new@example.com"
    assert not read(query, ident=user.id + 1)


def test_a_faulty_statement_is_an_error_that_the_application_handles(app: Flask) -> None:
    with pytest.raises(DBAPIError):
        read(CompiledStatement(select(text("no_such_column"))))


@on_postgresql
def test_a_read_whose_connection_was_lost_is_repeated(app: Flask) -> None:
    backend = CompiledStatement(select(func.pg_backend_pid().label("pid")))
    (first,) = read(backend)
    url = make_url(app.config["SQLALCHEMY_DATABASE_URI"])
    with postgresql.connected(url) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (first.pid,))
    (second,) = read(backend)
    assert second.pid != first.pid


def connections_in_use() -> int:
    pool = db.engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


def make_customer(as_user: FlaskClient) -> Any:
    values = {"first_name": "Ada", "last_name": "Lovelace"}
    return as_user.post("/v1/customers", json=values).get_json()["id"]


CUSTOMER = table_of(Customer)
RENAME = CompiledStatement(
    update(CUSTOMER)
    .where(CUSTOMER.c.id == bindparam("ident"))
    .values(first_name=bindparam("name"), updated_at=CUSTOMER.c.updated_at)
    .returning(CUSTOMER.c.first_name)
)


ADD = CompiledStatement(
    insert(CUSTOMER)
    .values(
        first_name=bindparam("name"),
        last_name="Lovelace",
        search_text="",
        created_at=func.now(),
        updated_at=func.now(),
    )
    .returning(CUSTOMER.c.first_name)
)


def test_a_compiled_update_names_the_columns_that_change_with_each_one(app: Flask) -> None:
    faulty = update(CUSTOMER).values(first_name="Ada").returning(CUSTOMER.c.id)
    with pytest.raises(TypeError, match="updated_at"):
        write(CompiledStatement(faulty))


def test_a_compiled_insert_names_the_columns_that_have_defaults(app: Flask) -> None:
    faulty = insert(CUSTOMER).values(first_name="Ada").returning(CUSTOMER.c.id)
    with pytest.raises(TypeError, match="created_at"):
        write(CompiledStatement(faulty))


def test_a_write_in_a_transaction_is_a_part_of_it(app: Flask, as_user: FlaskClient) -> None:
    ident = make_customer(as_user)
    with suppress(LookupError), transaction():
        assert write(RENAME, ident=ident, name="Grace") == [("Grace",)]
        raise LookupError
    assert as_user.get(f"/v1/customers/{ident}").get_json()["first_name"] == "Ada"


@on_postgresql
def test_a_write_whose_connection_was_lost_is_repeated(app: Flask, as_user: FlaskClient) -> None:
    ident = make_customer(as_user)
    (session,) = read(CompiledStatement(select(func.pg_backend_pid().label("pid"))))
    url = make_url(app.config["SQLALCHEMY_DATABASE_URI"])
    with postgresql.connected(url) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (session.pid,))
    assert write(RENAME, ident=ident, name="Grace") == [("Grace",)]


def test_a_write_that_violates_a_constraint_is_an_error_that_the_application_handles(
    app: Flask, as_user: FlaskClient
) -> None:
    ident = make_customer(as_user)
    with pytest.raises(IntegrityError, match="first_name"):
        write(RENAME, ident=ident, name="")
    assert write(RENAME, ident=ident, name="Grace") == [("Grace",)]
    assert connections_in_use() == 0


@on_postgresql
def test_a_write_that_is_refused_keeps_its_connection(app: Flask, as_user: FlaskClient) -> None:
    ident = make_customer(as_user)
    backend = CompiledStatement(select(func.pg_backend_pid().label("pid")))
    before = read(backend)
    with suppress(IntegrityError):
        write(ADD, name="")
    assert read(backend) == before
    assert write(RENAME, ident=ident, name="Grace") == [("Grace",)]


@on_sqlite
def test_a_write_waits_for_the_disk_after_one_that_did_not(
    app: Flask, as_user: FlaskClient
) -> None:
    ident = make_customer(as_user)
    with transaction(durable=False):
        db.session.execute(text("UPDATE customer SET phone = '1'"))
    write(RENAME, ident=ident, name="Grace")
    assert db.session.scalar(text("PRAGMA synchronous")) == 2  # FULL


def test_each_read_returns_its_connection(app: Flask, as_user: FlaskClient) -> None:
    for path in ("/v1/customers", "/v1/customers/1"):
        as_user.get(path)
        assert connections_in_use() == 0
    assert read(CompiledStatement(rows_of(Customer))) == []
