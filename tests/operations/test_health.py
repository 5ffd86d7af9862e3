"""Health checks, which respond in time whatever hangs; and checks at startup."""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from automart.background.models import LeaderLease
from automart.core import schema_version
from automart.core.config import Settings
from automart.core.db import db, transaction, utcnow
from automart.core.schema_version import SchemaTooOld, check_before_start, require_schema
from automart.operations import health
from automart.operations.health import Probe
from tests.support.databases import on_sqlite
from tests.support.forks import ROOT, output_of
from tests.support.http import assert_problem
from tests.support.logs import logged
from tests.support.ports import free_port
from tests.support.programs import clean_environment
from tests.support.setup import SECRET, application, make_settings

NOWHERE = "unix:///nowhere/redis.sock"
HEALTH = ("/health", "/health/ready", "/api/health/ready")


@pytest.fixture
def ask(settings: Settings, caplog: pytest.LogCaptureFixture) -> Callable[..., Any]:
    """Return a function that requests the health of an application with other settings."""

    def asked(path: str = "/health/ready", **changes: Any) -> Any:
        with application(replace(settings, **changes)) as app:
            logging.getLogger().addHandler(caplog.handler)  # an application removes all others
            return app.test_client().get(path)

    return asked


@pytest.fixture
def silence() -> Iterator[int]:
    """Return a port where a server listens and never responds."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def set_schema(*revisions: str) -> None:
    with transaction():
        db.session.execute(text("DELETE FROM alembic_version"))
        for revision in revisions:
            db.session.execute(
                text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision}
            )


class TestReady:
    def test_ready_names_each_part(self, client: FlaskClient) -> None:
        for path in HEALTH:
            response = client.get(path)
            assert response.status_code == 200
            parts = {"database": "ok", "schema": "ok", "redis": "ok"}
            assert response.get_json() == {"status": "ok", "parts": parts}

    def test_it_writes_to_the_database(self, client: FlaskClient) -> None:
        before = utcnow()
        assert client.get("/health/ready").status_code == 200
        written = db.session.query(LeaderLease).one()
        assert written.name == "health"
        assert before <= written.until <= utcnow()

    def test_without_redis_the_state_is_degraded_and_ready(
        self, ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        response = ask(redis_url=NOWHERE)
        assert response.status_code == 200
        parts = {"database": "ok", "schema": "ok", "redis": "down"}
        assert response.get_json() == {"status": "degraded", "parts": parts}
        (warning,) = logged(caplog, "part_is_unavailable")
        assert (warning["part"], warning["outage"]) == ("redis", "down")
        assert "No such file or directory" in warning["error"]

    @on_sqlite
    def test_without_a_database_it_is_503(
        self, ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        for url, reason in (
            ("postgresql+psycopg://127.0.0.1:1/x", "Connection refused"),
            ("sqlite:////nowhere/x.sqlite", "unable to open database file"),
        ):
            response = ask(database_url=url)
            problem = assert_problem(response, 503)
            assert problem["detail"] == (
                "The database is down or cannot be written to, or its schema is too old."
            )
            assert problem["parts"] == {"database": "down", "schema": "unknown", "redis": "ok"}
            assert int(response.headers["Retry-After"]) > 0
            found = logged(caplog, "part_is_unavailable")
            caplog.clear()
            assert [(each["part"], each["outage"]) for each in found] == [
                ("database", "down"),
                ("schema", "down"),
            ]
            assert all(reason in each["error"] for each in found)

    @on_sqlite
    def test_it_is_ready_while_another_process_writes_to_sqlite(
        self, ask: Callable[..., Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(schema_version, "CHECK_TIMEOUT_SECONDS", 0)
        with closing(sqlite3.connect(settings.database_url.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            response = ask()
        assert response.get_json()["status"] == "ok"

    def test_it_responds_while_the_database_and_redis_hang(
        self,
        ask: Callable[..., Any],
        silence: int,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(health, "TIMEOUT_SECONDS", 0.05)
        response = ask(
            database_url=f"postgresql+psycopg://127.0.0.1:{silence}/x",
            redis_url=f"redis://127.0.0.1:{silence}",
        )
        parts = assert_problem(response, 503)["parts"]
        assert parts == {"database": "down", "schema": "unknown", "redis": "down"}
        warnings = logged(caplog, "part_is_unavailable")
        assert [each["part"] for each in warnings] == ["database", "schema", "redis"]
        assert {each["error"] for each in warnings} == {"no answer within 0.05 seconds"}

    @pytest.mark.parametrize(("revisions", "found"), [((), "missing"), (("0001",), "older")])
    def test_an_older_schema_is_not_ready(
        self, client: FlaskClient, revisions: tuple[str, ...], found: str
    ) -> None:
        set_schema(*revisions)
        assert assert_problem(client.get("/health/ready"), 503)["parts"]["schema"] == found
        with db.engine.connect() as connection, pytest.raises(SchemaTooOld) as raised:
            require_schema(connection)
        assert str(raised.value).endswith("Run: flask --app wsgi db upgrade")

    def test_a_newer_schema_is_ready_and_logged_once(
        self, client: FlaskClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        set_schema("9999")
        for _ in range(2):
            response = client.get("/health/ready")
            assert response.status_code == 200
            assert response.get_json()["parts"]["schema"] == "newer"
        assert logged(caplog, "schema_is_newer") == [
            {
                "event": "schema_is_newer",
                "detail": "The migrations of a newer release have been run.",
            }
        ]


class TestLive:
    def test_the_process_is_live_whatever_else_is_down(self, ask: Callable[..., Any]) -> None:
        response = ask(
            "/health/live",
            database_url="postgresql+psycopg://127.0.0.1:1/x",
            redis_url=NOWHERE,
        )
        assert (response.status_code, response.get_json()) == (200, {"status": "ok"})


def test_a_check_that_hangs_occupies_one_thread_only() -> None:
    begun, released = [], threading.Event()

    def look() -> str:
        begun.append(threading.current_thread())
        released.wait()
        return "ok"

    probe = Probe(look)
    answers = [probe.begin() for _ in range(10)]
    released.set()
    assert {answer.result() for answer in answers} == {"ok"}
    assert len(begun) == 1
    begun[0].join()
    assert probe.begin().result() == "ok"
    assert len(begun) == 2


def test_a_check_that_fails_does_not_hang() -> None:
    def look() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Probe(look).begin().result()


class TestStarting:
    def test_a_database_that_was_not_migrated_is_refused(
        self, app: Flask, settings: Settings
    ) -> None:
        set_schema("0001")
        with pytest.raises(SchemaTooOld) as raised:
            check_before_start(settings)
        assert str(raised.value) == (
            "The database has an older release's schema. Run: flask --app wsgi db upgrade"
        )

    def test_sqlite_in_a_missing_folder_is_refused(self, tmp_path: Path) -> None:
        settings = make_settings(f"sqlite:///{tmp_path}/none/x.sqlite", instance=tmp_path)
        with pytest.raises(SchemaTooOld) as raised:
            check_before_start(settings)
        assert str(raised.value) == (
            "There is no database: unable to open database file. Run: flask --app wsgi db upgrade"
        )

    def test_a_newer_schema_is_accepted_and_logged(
        self, app: Flask, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        set_schema("9999")
        check_before_start(settings)
        assert "schema_is_newer" in caplog.text

    def test_a_start_does_not_wait_for_a_database_that_is_down(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        check_before_start(replace(settings, database_url="postgresql+psycopg://127.0.0.1:1/x"))
        (warning,) = logged(caplog, "database_unavailable")
        assert "Connection refused" in warning["error"]

    @pytest.mark.processes
    @pytest.mark.parametrize(
        ("program", "arguments"),
        [("gunicorn", ["wsgi:app", "--chdir", str(ROOT)]), ("worker.py", [])],
    )
    def test_web_and_worker_refuse_to_start_in_one_line(
        self, tmp_path: Path, program: str, arguments: list[str]
    ) -> None:
        env = clean_environment() | {
            "DATABASE_URL": f"sqlite:///{tmp_path}/empty.sqlite",
            "REDIS_URL": NOWHERE,
            "SECRET_KEY": SECRET,
            "PORT": str(free_port()),
        }
        status, printed = output_of(program, arguments, env=env, folder=tmp_path)
        assert status == 1
        assert "The database has no schema. Run: flask --app wsgi db upgrade" in printed
        assert "Traceback" not in printed

    @pytest.mark.processes
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"PORT": "http"}, "These settings are invalid:\n  PORT: Must be a port"),
            ({"DATABASE_URL": "sqlite:////nowhere/x.sqlite"}, "Error: The database cannot be used"),
        ],
    )
    def test_a_migration_fails_in_one_sentence(
        self, tmp_path: Path, wrong: dict[str, str], message: str
    ) -> None:
        command = ["--app", "wsgi", "db", "upgrade"]
        env = clean_environment() | wrong
        status, printed = output_of("flask", command, env=env, folder=tmp_path)
        assert status == 1
        assert printed.startswith(message)
        assert "Traceback" not in printed
