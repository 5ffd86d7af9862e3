"""`automart doctor`: its grades and its advice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import redis
from flask import Flask
from rq import Queue as RqQueue
from rq import Worker
from sqlalchemy import text

from automart.background import kinds, submit
from automart.background.kinds import Queue
from automart.background.maintenance import hold_lease
from automart.catalogue.models import VehicleMake
from automart.cli import doctor
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.customers.models import TOKEN_LENGTH, Customer
from automart.oauth.signing_keys import key_ring
from tests.cli.conftest import Run, type_in
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.purchases import make_office
from tests.support.redis_server import RedisServer
from tests.support.sync import add_models

DOWN = {"DATABASE_URL": "postgresql://x:hidden@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1"}
DOWN |= {"PUBLIC_URL": "http://localhost"}


@pytest.fixture
def _working(app: Flask) -> None:
    """Register workers of all queues, and hold the lease of housekeeping."""
    client = app.extensions["redis"]
    for queue in Queue:
        Worker([RqQueue(queue, connection=client)], connection=client).register_birth()
    hold_lease("housekeeping", uuid4(), timedelta(seconds=15))


def graded(output: str) -> dict[str, str]:
    """Return the grade of each check."""
    lines = [line for line in output.splitlines() if not line.startswith(" ")]
    return {line[6:].partition(": ")[0]: line[:5].strip() for line in lines}


@pytest.mark.usefixtures("_working")
def test_doctor_grades_every_check_ok_if_everything_works(run: Run, settings: Settings) -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    grades = graded(result.stdout)
    notes = {"RATE_LIMIT", "Catalogue"} | (set() if settings.public_url else {"PUBLIC_URL"})
    assert {name for name, grade in grades.items() if grade == "note"} == notes
    assert {name for name, grade in grades.items() if grade == "ok"} == {
        *("Settings", "Database", "Schema", "Redis", "Housekeeping", "NHTSA", "Photo storage"),
        *(f"Workers of {queue}" for queue in Queue),
        *(f"Jobs of {queue}" for queue in Queue),
        *("SECRET_KEY", "Photos", "Clock"),
    }


def test_doctor_says_how_to_start_missing_workers(run: Run) -> None:
    result = run("doctor")
    assert result.exit_code == 1
    grades = graded(result.stdout)
    assert grades["Housekeeping"] == grades["Workers of long"] == "BAD"
    assert "→ Start a worker: python worker.py" in result.stdout


@pytest.mark.usefixtures("_working")
def test_doctor_reports_an_older_schema_with_the_command_to_upgrade_it(
    app: Flask, run: Run
) -> None:
    with transaction():
        db.session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    result = run("doctor")
    assert result.exit_code == 1
    assert "BAD   Schema: older\n      → Run: flask --app wsgi db upgrade" in result.stdout


def test_doctor_reports_what_is_down_and_checks_the_rest(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in DOWN.items():
        monkeypatch.setenv(name, value)
    result = run("doctor")
    assert result.exit_code == 1
    grades = graded(result.stdout)
    assert grades["Database"] == grades["Redis"] == "BAD"
    assert grades["NHTSA"] == grades["Photo storage"] == "ok"
    assert "hidden" not in result.output
    assert not grades.keys() & {"Schema", "Housekeeping", "Workers of long"}


@pytest.mark.usefixtures("_working")
def test_doctor_reports_an_unreachable_nhtsa_and_an_unwritable_photo_storage(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "NHTSA_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setenv("NHTSA_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("PHOTO_STORAGE", "/proc/nowhere")
    result = run("doctor")
    assert result.exit_code == 1
    grades = graded(result.stdout)
    assert grades["NHTSA"] == "note"
    assert grades["Photo storage"] == "BAD"


@pytest.mark.usefixtures("_working")
def test_doctor_reports_a_wrong_clock(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "utcnow", lambda: datetime.now(UTC) - timedelta(minutes=5))
    result = run("doctor")
    assert result.exit_code == 1
    assert "BAD   Clock: differs from that of Redis by " in result.stdout


def test_doctor_notes_a_misspelt_setting(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABSE_URL", "sqlite:///x")
    note = "note  Settings: DATABSE_URL is not a setting. Did you mean DATABASE_URL?"
    assert note in run("doctor").stdout.splitlines()


def test_doctor_reports_all_wrong_settings_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT", "often")
    monkeypatch.setenv("TRUSTED_PROXIES", "everybody")
    result = type_in("doctor")
    assert result.exit_code == 1
    assert "RATE_LIMIT: Must be" in result.stderr
    assert "TRUSTED_PROXIES: Must be" in result.stderr
    assert "settings" in type_in("doctor", "--help").stdout


@pytest.mark.usefixtures("_working")
@on_sqlite
def test_doctor_names_jobs_that_wait_and_since_when(run: Run) -> None:
    due_at = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
    with transaction():
        for _ in range(2):
            submit(kinds.PURCHASE_RECORDING, due_at=due_at)
    result = run("doctor")
    assert result.exit_code == 1
    line = "BAD   Jobs of short: 2 waiting, the oldest since 2026-01-15T08:30:00Z"
    assert line in result.stdout.splitlines()


@pytest.mark.usefixtures("_working")
@on_sqlite
def test_doctor_names_secrets_that_cannot_be_decrypted(
    app: Flask, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_ring().signing_key()
    office = make_office()
    monkeypatch.setenv("SECRET_KEY", "another secret, which is long enough")
    result = run("doctor")
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if "SECRET_KEY:" in line]
    assert line.startswith("BAD   SECRET_KEY: does not decrypt signing key ")
    assert line.endswith(f", webhook secret of office {office.id}")


@pytest.mark.usefixtures("_working")
@on_sqlite
def test_doctor_reports_photos_that_are_missing(app: Flask, run: Run) -> None:
    with transaction():
        token = "0" * TOKEN_LENGTH
        db.session.add(Customer(first_name="Ann", last_name="Lee", photo_token=token))
    result = run("doctor")
    assert result.exit_code == 1
    assert "BAD   Photos: 1 of 1 that were checked are missing" in result.stdout.splitlines()


@pytest.mark.usefixtures("_working")
@on_sqlite
def test_doctor_notes_an_empty_or_stale_catalogue(run: Run) -> None:
    assert graded(run("doctor").stdout)["Catalogue"] == "note"
    add_models({440: {}})
    assert "note  Catalogue: 1 makes, never synced" in run("doctor").stdout
    with transaction():
        db.session.get_one(VehicleMake, 440).synced_at = datetime(2026, 1, 15, tzinfo=UTC)
    assert "ok    Catalogue: 1 makes, last synced 2026-01-15T00:00:00Z" in run("doctor").stdout


@on_sqlite
def test_doctor_reports_a_redis_that_refuses_messages(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisServer() as server, redis.Redis.from_url(server.url) as control:
        control.config_set("maxmemory", 1)
        monkeypatch.setenv("REDIS_URL", server.url)
        result = run("doctor")
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if " Redis: " in line]
    assert line.startswith("BAD   Redis: Redis cannot be used: ")
    assert "maxmemory" in line


@on_postgresql
def test_doctor_reports_a_database_that_is_read_only(
    run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only = "?options=-c%20default_transaction_read_only%3Don"
    monkeypatch.setenv("DATABASE_URL", settings.database_url + read_only)
    result = run("doctor")
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if " Database: " in line]
    assert "read-only transaction" in line
