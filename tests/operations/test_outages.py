"""Real outages: PostgreSQL that is read-only or hangs, and Redis that refuses messages."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import psutil
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from automart.background import submit
from automart.background.kinds import VEHICLE_SYNC
from automart.background.maintenance import dispatch_due
from automart.core import db_engine
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.operations import health
from tests.support import people, postgresql
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.http import assert_problem
from tests.support.inventory import booking_body, day, make_car
from tests.support.redis_server import RedisServer
from tests.support.setup import application

MAKE = {"id": 440, "name": "Aston Martin"}


@pytest.fixture
def raising(app: Flask) -> Callable[[str], Any]:
    """Return a function that requests a view in which PostgreSQL raises a SQLSTATE."""

    @app.post("/raise/<code>")
    def fail(code: str) -> str:
        with transaction():
            db.session.execute(text(f"DO $$ BEGIN RAISE USING ERRCODE = '{code}'; END $$"))
        return ""

    client = app.test_client()
    return lambda code: client.post(f"/raise/{code}")


@on_postgresql
def test_the_sqlstate_decides_whether_the_database_or_we_are_to_blame(
    raising: Callable[[str], Any], subtests: pytest.Subtests
) -> None:
    unavailable = ("08006", "25006", "25P03", "40001", "40P01", "53100", "53200", "53300", "55P03")
    for code in (*unavailable, "57014", "57P01", "57P03", "58030"):
        with subtests.test(code):
            response = raising(code)
            assert_problem(response, 503)
            assert int(response.headers["Retry-After"]) > 0
    for code in ("22003", "42601", "42P01", "54001", "XX000"):
        with subtests.test(code):
            assert_problem(raising(code), 500)


@on_sqlite
def test_a_missing_table_is_our_fault_and_a_full_disk_is_not(
    app: Flask, subtests: pytest.Subtests
) -> None:
    statements = {
        "SELECT * FROM no_such_table": 500,
        "CREATE TABLE bulk AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
        " LIMIT 2000) SELECT hex(zeroblob(4000)) AS x FROM n": 503,
    }

    @app.post("/run/<int:number>")
    def run(number: int) -> str:
        with transaction():
            db.session.execute(text("PRAGMA max_page_count = 1"))
            db.session.execute(text(list(statements)[number]))
        return ""

    for number, status in enumerate(statements.values()):
        with subtests.test(number):
            assert_problem(app.test_client().post(f"/run/{number}"), status)


@on_postgresql
class TestReadOnlyPostgresql:
    def test_connections_that_became_read_only_are_replaced(
        self, app: Flask, as_admin: FlaskClient
    ) -> None:
        with db.engine.connect() as connection:
            connection.execute(text("SET default_transaction_read_only = on"))
            connection.commit()
        db.session.remove()
        response = as_admin.post("/v1/makes", json=MAKE)
        detail = assert_problem(response, 503)["detail"]
        assert detail == "The database cannot be written to at the moment."
        assert int(response.headers["Retry-After"]) > 0
        assert as_admin.post("/v1/makes", json=MAKE).status_code == 201

    def test_all_of_them_are_replaced_after_one_has_failed(
        self, app: Flask, as_user: FlaskClient
    ) -> None:
        car_id = make_car().id
        db.session.remove()
        with ExitStack() as stack:
            for _ in range(3):
                connection = stack.enter_context(db.engine.connect())
                connection.execute(text("SET default_transaction_read_only = on"))
                connection.commit()
        bookings = [booking_body(car_id, day(n), day(n + 1)) for n in range(3)]
        answers = [as_user.post("/v1/bookings", json=booking) for booking in bookings]
        assert [answer.status_code for answer in answers] == [503, 201, 201]

    def test_ready_names_it_until_it_can_be_written_to(
        self, app: Flask, client: FlaskClient
    ) -> None:
        with alterations(app) as alter:
            alter("default_transaction_read_only = on")
            parts = assert_problem(client.get("/health/ready"), 503)["parts"]
            assert parts == {"database": "read-only", "schema": "ok", "redis": "ok"}
            alter("default_transaction_read_only = off")
            assert client.get("/health/ready").status_code == 200


@contextmanager
def alterations(app: Flask) -> Iterator[Callable[[str], None]]:
    """Yield a function that sets something for new connections to the database of `app`."""
    url = make_url(app.config["SQLALCHEMY_DATABASE_URI"])
    with postgresql.connected(url.set(database="postgres")) as connection:

        def alter(setting: str) -> None:
            connection.execute(f"ALTER DATABASE {url.database} SET {setting}")

        try:
            yield alter
        finally:
            connection.execute(f"ALTER DATABASE {url.database} RESET ALL")


@contextmanager
def stopped(app: Flask) -> Iterator[None]:
    """Stop all processes of PostgreSQL (SIGSTOP), as on a host that is suspended."""
    with db.engine.connect() as connection:
        backend = psutil.Process(connection.scalar(text("SELECT pg_backend_pid()")))
    server = backend.parent()
    assert server is not None
    processes = [server, *server.children()]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            if process.is_running():
                process.send_signal(signal.SIGCONT)


@on_postgresql
class TestHungPostgresql:
    @pytest.fixture(autouse=True)
    def _local_server(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        if make_url(app.config["SQLALCHEMY_DATABASE_URI"]).host != "127.0.0.1":
            pytest.skip("PostgreSQL is not on this host")
        monkeypatch.setattr(db_engine, "RECENT_SECONDS", 0.0)  # each connection is pinged

    def test_requests_are_503_and_ready_says_so_until_it_continues(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        @contextmanager
        def hung() -> Iterator[None]:
            # Short limits hold only while nothing responds: a busy machine exceeds them.
            with stopped(app), monkeypatch.context() as short:
                short.setattr(db_engine, "PING_SECONDS", 0.1)
                short.setattr(health, "TIMEOUT_SECONDS", 0.1)
                yield

        monkeypatch.setattr("automart.app.CONNECT_SECONDS", 2)  # the least that libpq takes
        with application(settings) as app, app.app_context():
            client = people.signed_in(app, people.make_user(is_admin=True))
            assert client.get("/v1/makes").status_code == 200  # its connection is pooled
            with hung():
                response = client.get("/v1/makes")
                assert_problem(response, 503)
                assert int(response.headers["Retry-After"]) > 0
                parts = assert_problem(client.get("/health/ready"), 503)["parts"]
                assert (parts["database"], parts["schema"]) == ("down", "unknown")
            assert client.post("/v1/makes", json=MAKE).status_code == 201
            assert client.get("/health/ready").status_code == 200

    def test_a_statement_without_an_answer_ends_with_its_connection(self, app: Flask) -> None:
        with db.engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            driver.answer_seconds = 0.1
            with stopped(app), pytest.raises(OperationalError) as raised:
                connection.execute(text("SELECT 1"))
            assert raised.value.connection_invalidated
            assert connection.invalidated


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@on_sqlite
class TestRedis:
    REFUSALS = (
        ("full", ("CONFIG SET maxmemory 1",), ("CONFIG SET maxmemory 0",)),
        ("read-only", ("REPLICAOF 127.0.0.1 1",), ("REPLICAOF NO ONE",)),
    )

    def test_a_redis_that_refuses_messages_is_named_and_jobs_are_kept(
        self, settings: Settings, redis_server: RedisServer, subtests: pytest.Subtests
    ) -> None:
        with application(replace(settings, redis_url=redis_server.url)) as app, app.app_context():
            client = app.test_client()
            admin = people.signed_in(app, people.make_user(is_admin=True))
            for state, refuse, accept in self.REFUSALS:
                with subtests.test(state), redis.Redis.from_url(redis_server.url) as control:
                    for command in refuse:
                        control.execute_command(command)
                    answer = client.get("/health/ready")
                    assert answer.status_code == 200
                    assert answer.get_json()["status"] == "degraded"
                    assert answer.get_json()["parts"]["redis"] == state
                    assert re.search(
                        r"^automart_redis_up 0", admin.get("/metrics").text, re.MULTILINE
                    )
                    with transaction():
                        assert submit(VEHICLE_SYNC, singleton=state) is not None
                    assert dispatch_due() == 0
                    for command in accept:
                        control.execute_command(command)
                    assert client.get("/health/ready").get_json()["status"] == "ok"
                    assert dispatch_due() == 1

    def test_a_redis_that_is_gone_is_down_and_is_used_again_when_it_is_back(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        with application(replace(settings, redis_url=redis_server.url)) as app, app.app_context():
            client = app.test_client()
            redis_server.kill()
            assert client.get("/health/ready").get_json()["parts"]["redis"] == "down"
            redis_server.start()
            assert client.get("/health/ready").get_json()["status"] == "ok"


def test_a_write_is_checked_again_after_some_seconds(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[float] = []
    monkeypatch.setattr(health, "check_database_writable", lambda _: written.append(time.time()))
    for _ in range(3):
        assert client.get("/health/ready").status_code == 200
    assert len(written) == 1
    monkeypatch.setattr(health, "WRITE_INTERVAL", 0)
    assert client.get("/health/ready").status_code == 200
    assert len(written) == 2
