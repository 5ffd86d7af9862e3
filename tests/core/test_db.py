"""Transactions, lost connections, and concurrent writers."""

from __future__ import annotations

import io
import select as selecting
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, event, select, text, update
from sqlalchemy.engine import Connection, make_url

from automart.accounts.passwords import hash_password, verify_password
from automart.catalogue.models import VehicleMake
from automart.core.config import Settings
from automart.core.db import (
    after_commit,
    db,
    refuse_in_transaction,
    release_connection,
    transaction,
)
from automart.core.db_engine import POSTGRESQL_SETTINGS, SQLITE_BUSY_SECONDS, prepare_engine
from automart.core.schema_version import short_timeout_engine
from automart.core.storage import current_storage
from automart.customers import photos
from automart.inventory.models import Car
from jobs.http import client
from tests.support.http import assert_problem
from tests.support.inventory import booking_body, day, make_car
from tests.support.setup import application

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
# The start-up parameters that PgBouncer accepts.
PGBOUNCER_PARAMETERS = {"application_name", "client_encoding", "DateStyle", "TimeZone"}


def lose_connection() -> None:
    connection = db.session.connection().connection.dbapi_connection
    assert connection is not None
    connection.close()


def be_impatient(connection: Any, *_: Any) -> None:
    """Do not wait for other writers."""
    if db.engine.dialect.name == "sqlite":
        connection.execute("PRAGMA busy_timeout = 0")
    else:
        connection.autocommit = True
        connection.execute("SET lock_timeout = '1ms'")
        connection.autocommit = False


def test_a_connection_lost_at_the_end_of_a_request_does_no_harm(app: Flask) -> None:
    with app.app_context():
        db.session.execute(text("SELECT 1"))
        lose_connection()
    with app.app_context():
        assert db.session.scalar(text("SELECT 2")) == 2
    assert db.engine.pool.status().endswith("Current Checked out connections: 0")


def test_a_finished_response_is_sent_after_the_connection_is_lost(app: Flask) -> None:
    @app.after_request
    def lose(response: Any) -> Any:
        db.session.execute(text("SELECT 1"))
        lose_connection()
        return response

    assert app.test_client().get("/v1/makes").status_code == 401


def test_the_threads_of_a_process_write_one_after_another(app: Flask) -> None:
    """Otherwise they would poll SQLite, which lets them pass in no particular order."""

    def write(number: int) -> None:
        with app.app_context(), transaction():
            db.session.add(VehicleMake(id=number, name=f"Make {number}"))

    if db.engine.dialect.name == "sqlite":
        event.listen(db.engine, "checkout", be_impatient)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(1, 41)))
    assert db.session.query(VehicleMake).count() == 40


def test_a_request_that_waits_too_long_for_another_writer_is_503(
    app: Flask, as_user: FlaskClient
) -> None:
    car = make_car()
    event.listen(db.engine, "checkout", be_impatient)
    with db.engine.connect().execution_options(writes=True) as other:
        other.execute(update(Car).values(color="blue"))
        response = as_user.post("/v1/bookings", json=booking_body(car.id, day(0), day(1)))
    assert_problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0


def test_an_update_of_an_unknown_attribute_is_an_error(app: Flask) -> None:
    make = VehicleMake(id=1, name="Honda")
    with pytest.raises(TypeError, match="VehicleMake has no 'nmae'"):
        make.update({"nmae": "Acura"})
    make.update({"name": "Acura"})
    assert make.name == "Acura"


class TestTransaction:
    def test_what_follows_a_commit_needs_a_transaction(self, app: Flask) -> None:
        with pytest.raises(RuntimeError, match="outside transaction"):
            after_commit(lambda: None)

    def test_earlier_changes_are_refused(self, app: Flask) -> None:
        db.session.add(VehicleMake(id=1, name="Acura"))
        with pytest.raises(RuntimeError, match="outside of transaction"), transaction():
            pytest.fail("It was entered.")
        db.session.rollback()
        assert db.session.get(VehicleMake, 1) is None

    @pytest.mark.parametrize("act", [db.session.delete, lambda make: setattr(make, "name", "B")])
    def test_earlier_updates_and_deletions_are_refused(
        self, app: Flask, act: Callable[[VehicleMake], None]
    ) -> None:
        with transaction():
            db.session.add(VehicleMake(id=1, name="Acura"))
        act(db.session.get_one(VehicleMake, 1))
        with pytest.raises(RuntimeError, match="outside of transaction"):
            release_connection()
        db.session.rollback()
        assert db.session.get_one(VehicleMake, 1).name == "Acura"

    def test_a_query_outside_a_transaction_does_not_flush_changes(self, app: Flask) -> None:
        db.session.add(VehicleMake(id=1, name="Acura"))
        with pytest.raises(RuntimeError, match="outside of transaction"):
            db.session.scalars(select(VehicleMake)).all()

    def test_rows_read_before_a_transaction_stay_usable(self, app: Flask) -> None:
        with transaction():
            db.session.add(VehicleMake(id=1, name="Acura"))
        make = db.session.scalars(select(VehicleMake)).one()
        release_connection()
        with transaction():
            make.name = "Honda"
        db.session.rollback()
        assert db.session.get_one(VehicleMake, 1).name == "Honda"

    def test_a_transaction_cannot_be_ended_inside_of_it(self, app: Flask) -> None:
        with pytest.raises(RuntimeError, match="inside transaction"), transaction():
            release_connection()


class TestSlowWork:
    @pytest.fixture(
        params=[
            lambda: hash_password("a quite long password"),
            lambda: verify_password("a quite long password", None),
            lambda: photos.transcode(io.BytesIO(b"no picture")),
            lambda: current_storage().get("ab/cd.webp"),
            lambda: client.post("http://localhost", body=b"", headers={}, allow_private=True),
        ]
    )
    def slow_work(self, request: pytest.FixtureRequest) -> Callable[[], object]:
        work: Callable[[], object] = request.param
        return work

    def test_slow_work_is_refused_in_a_transaction(
        self, app: Flask, slow_work: Callable[[], object]
    ) -> None:
        with pytest.raises(RuntimeError, match="transaction"), transaction():
            slow_work()

    def test_slow_work_is_refused_while_a_connection_is_in_use(self, app: Flask) -> None:
        refuse_in_transaction("waiting")
        db.session.execute(text("SELECT 1"))
        with pytest.raises(RuntimeError, match="during slow work: waiting"):
            refuse_in_transaction("waiting")
        release_connection()
        refuse_in_transaction("waiting")


@on_postgresql
def test_timeouts_and_time_zone_are_set_on_each_connection(app: Flask, settings: Settings) -> None:
    """They are statements, since PgBouncer rejects start-up parameters, and survive a rollback."""
    with db.engine.connect() as connection:
        for _ in range(2):
            assert settings_sent_by_statements(connection) == POSTGRESQL_SETTINGS.keys()
            connection.rollback()
        assert connection.execute(text("SELECT now()")).scalar_one().tzinfo is UTC
    with short_timeout_engine(settings).connect() as connection:
        assert settings_sent_by_statements(connection) == {"statement_timeout"}


@on_postgresql
def test_statements_are_prepared_unless_the_url_of_the_database_forbids_it(
    settings: Settings,
) -> None:
    """PgBouncer's transaction mode gives each transaction another connection to the server."""
    for threshold, expected in (("none", None), ("7", 7)):
        url = make_url(settings.database_url).update_query_dict({"prepare_threshold": threshold})
        changed = replace(settings, database_url=url.render_as_string(hide_password=False))
        with (
            application(changed) as app,
            app.app_context(),
            db.engine.connect() as connection,
        ):
            driver = connection.connection.driver_connection
            assert driver is not None
            assert driver.prepare_threshold == expected


def test_sqlite_checks_references_lets_readers_read_and_waits_for_writers(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/new.sqlite")
    prepare_engine(engine)
    with engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("foreign_keys", "journal_mode", "busy_timeout")
        ]
    engine.dispose()
    assert found == [1, "wal", SQLITE_BUSY_SECONDS * 1000]


def test_a_write_waits_for_the_disk_unless_it_need_not(tmp_path: Path) -> None:
    """1 is NORMAL, 2 is FULL, which is SQLite's default."""
    engine = create_engine(f"sqlite:///{tmp_path}/new.sqlite")
    prepare_engine(engine)
    found = []
    for durable in (True, False, True, False):
        options = {"writes": True, "durable": durable}
        with engine.connect().execution_options(**options) as connection, connection.begin():
            found.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())
    engine.dispose()
    assert found == [2, 1, 2, 1]


def settings_sent_by_statements(connection: Connection) -> set[str]:
    """Return the settings made by statements. Only PgBouncer's may be start-up parameters."""
    statement = text("SELECT source, name FROM pg_settings WHERE source IN ('client', 'session')")
    found = {tuple(row) for row in connection.execute(statement)}
    assert {name for source, name in found if source == "client"} <= PGBOUNCER_PARAMETERS
    return {name for source, name in found if source == "session"}


@on_postgresql
def test_a_request_that_idled_too_long_in_its_transaction_is_503(
    app: Flask, client: FlaskClient
) -> None:
    @app.before_request
    def idle() -> None:
        db.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1ms'"))
        connection = db.session.connection().connection.dbapi_connection
        assert connection is not None
        selecting.select([connection], [], [], 60)  # until the server has closed the connection
        db.session.execute(text("SELECT 1"))

    response = client.get("/v1/makes")
    assert_problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0
