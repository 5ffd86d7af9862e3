"""`automart doctor`: its grades and its advice."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from flask import Flask
from rq import Queue as RqQueue
from rq import Worker
from sqlalchemy import select, text

from automart.background import kinds, submit
from automart.background.kinds import Queue
from automart.background.leases import claim
from automart.background.maintenance import hold_lease
from automart.catalogue.models import VehicleMake
from automart.cli import doctor
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.customers.models import TOKEN_LENGTH, Customer
from automart.oauth.models import SigningKey
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
    hold_lease("housekeeping", uuid4(), timedelta(hours=1))


def graded(output: str) -> dict[str, str]:
    """Return the grade of each check."""
    lines = [line for line in output.splitlines() if not line.startswith(" ")]
    return {line[6:].partition(": ")[0]: line[:5].strip() for line in lines}


NO_RATE_LIMIT = """\
note  RATE_LIMIT: not set; callers may send any number of requests
      → Set it, for example to 600/minute, if others can reach this server.
"""
NO_PUBLIC_URL = """\
note  PUBLIC_URL: not set; links and tokens contain the host of each request
      → Set it to the address that clients use, such as https://cars.example
"""
NO_MAKES = """\
note  Catalogue: has no makes, so no car can be added
      → Run automart makes import --all, or name makes by their ids; then automart sync.
"""


def without_versions(output: str) -> str:
    return re.sub(r"(sqlite|postgresql|Redis:) [\d.]+ ", r"\1 V ", output)


@pytest.mark.usefixtures("_working")
def test_doctor_finds_nothing_bad_if_everything_works(run: Run, settings: Settings) -> None:
    result = run("doctor")
    database = "sqlite" if settings.is_sqlite else "postgresql"
    clocks = "Redis" if settings.is_sqlite else "Redis and the database"
    assert (result.exit_code, result.stderr) == (0, "")
    assert (
        without_versions(result.stdout)
        == f"""\
ok    Settings: valid
{NO_PUBLIC_URL if settings.public_url is None else ""}{NO_RATE_LIMIT}\
ok    Database: {database} V responds and can be written to
ok    Schema: current
ok    Redis: V responds and accepts messages
ok    Housekeeping: done by a worker
ok    Jobs of short: 0 waiting
ok    Jobs of long: 0 waiting
ok    Jobs of interactive: 0 waiting
ok    Jobs of webhooks: 0 waiting
ok    SECRET_KEY: decrypts the stored keys and secrets
{NO_MAKES}\
ok    Photos: none stored
ok    Workers of short: 1
ok    Workers of long: 1
ok    Workers of interactive: 1
ok    Workers of webhooks: 1
ok    Photo storage: can be written and read
ok    Clock: agrees with {clocks}
ok    NHTSA: responds
"""
    )


def test_doctor_says_how_to_start_missing_workers(run: Run) -> None:
    result = run("doctor")
    assert result.exit_code == 1
    assert (
        """
BAD   Housekeeping: not done
      → Start a worker: python worker.py
"""
        in result.stdout
    )
    for queue in Queue:
        assert (
            f"""
BAD   Workers of {queue}: none
      → Start one: python worker.py, or python worker.py {queue} for this queue alone
"""
            in result.stdout
        )


@on_sqlite
def test_doctor_reports_housekeeping_whose_worker_is_gone(app: Flask, run: Run) -> None:
    hold_lease("housekeeping", uuid4(), timedelta(0))
    hold_lease("another lease", uuid4(), timedelta(seconds=15))
    assert graded(run("doctor").stdout)["Housekeeping"] == "BAD"


@pytest.mark.usefixtures("_working")
def test_doctor_reports_an_older_schema_with_the_command_to_upgrade_it(
    app: Flask, run: Run
) -> None:
    with transaction():
        db.session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    result = run("doctor")
    assert result.exit_code == 1
    assert "\nBAD   Schema: older\n      → Run: flask --app wsgi db upgrade\n" in result.stdout


@on_sqlite
def test_doctor_reports_what_is_down_and_checks_the_rest(
    run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in DOWN.items():
        monkeypatch.setenv(name, value)
    result = run("doctor")
    assert result.exit_code == 1
    assert "hidden" not in result.output
    reasons = re.findall("cannot be used: (.*)", result.stdout)
    assert ["Connection refused" in reason for reason in reasons] == [True, True]
    assert (
        re.sub("cannot be used: .*", "cannot be used: …", result.stdout)
        == f"""\
ok    Settings: valid
{NO_RATE_LIMIT}\
BAD   Database: The database cannot be used: …
      → Is it running, not full and no standby, and is DATABASE_URL right?
BAD   Redis: Redis cannot be used: …
      → Is it running, not full (maxmemory) and no replica, and is REDIS_URL right? Jobs are \
accepted and kept until then.
note  Redis password: not in REDIS_URL; others who reach Redis can delay jobs and lift rate limits
      → Set requirepass, and REDIS_URL to redis://:PASSWORD@HOST:6379/0.
ok    Photo storage: can be written and read
ok    Clock: not compared
ok    NHTSA: responds
"""
    )


@pytest.mark.usefixtures("_working")
def test_doctor_reports_an_unreachable_nhtsa_and_an_unwritable_photo_storage(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "NHTSA_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setenv("NHTSA_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("PHOTO_STORAGE", "/proc/nowhere")
    result = run("doctor")
    assert result.exit_code == 1
    assert (
        """
BAD   Photo storage: cannot be used
      → Can this user write to PHOTO_STORAGE? See the log for the reason.
"""
        in result.stdout
    )
    assert "\nnote  NHTSA: " in result.stdout
    advice = "\n      → Can this host reach http://127.0.0.1:1/api? Only syncs need it.\n"
    assert advice in result.stdout


@pytest.mark.usefixtures("_working")
def test_doctor_reports_a_wrong_clock(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "utcnow", lambda: datetime.now(UTC) - timedelta(minutes=5))
    result = run("doctor")
    assert result.exit_code == 1
    (line,) = re.findall(r"BAD   Clock: .*\n.*", result.stdout)
    assert re.fullmatch(
        r"BAD   Clock: differs from that of Redis by [23]\d\d seconds\n"
        r"      → Let NTP set the clocks of all hosts\.",
        line,
    )


def test_doctor_reports_servers_that_are_too_old(
    run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "OLDEST_REDIS", (99, 1))
    monkeypatch.setattr(doctor, "OLDEST_POSTGRESQL", 99)
    result = run("doctor")
    assert result.exit_code == 1
    assert re.search(
        r"^BAD   Redis: [\d.]+ is too old\n      → Use 6\.2 or newer, or Valkey\.$",
        result.stdout,
        re.MULTILINE,
    )
    grades = graded(result.stdout)
    assert "Workers of long" not in grades
    if not settings.is_sqlite:
        assert re.search(
            r"^BAD   Database: PostgreSQL [\d.]+ is too old\n"
            r"      → Use PostgreSQL 99 or newer\.$",
            result.stdout,
            re.MULTILINE,
        )
        assert "Schema" not in grades


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
    due_at = datetime(2026, 1, 15, 8, 30, 0, 500, tzinfo=UTC)
    with transaction():
        for later in range(2):
            submit(kinds.PURCHASE_RECORDING, due_at=due_at + timedelta(minutes=later))
        submit(kinds.PURCHASE_RECORDING, due_at=datetime.now(UTC) + timedelta(hours=1))
        other = submit(kinds.VEHICLE_SYNC)
    assert claim(other.id)
    result = run("doctor")
    assert result.exit_code == 1
    waiting = "Jobs of short: 2 waiting, the oldest since 2026-01-15T08:30:00Z"
    advice = "      → Does a worker serve this queue? python worker.py short\n"
    assert f"BAD   {waiting}\n{advice}" in result.stdout
    assert "\nok    Jobs of long: 0 waiting\n" in result.stdout

    with transaction():
        started = submit(kinds.PURCHASE_RECORDING)
    assert claim(started.id)
    result = run("doctor")
    assert result.exit_code == 0
    assert f"\nnote  {waiting}, while another one runs\n" in result.stdout


@pytest.mark.usefixtures("_working")
@on_sqlite
def test_doctor_names_secrets_that_cannot_be_decrypted(
    app: Flask, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_ring().signing_key()
    key = db.session.scalars(select(SigningKey.kid)).one()
    offices = [make_office().id for _ in range(4)]
    monkeypatch.setenv("SECRET_KEY", "another secret, which is long enough")
    assert lost_secrets(run) == [
        f"signing key {key}",
        *(f"webhook secret of office {office}" for office in offices),
    ]
    offices += [make_office().id for _ in range(2)]
    *named, last = lost_secrets(run)
    assert len(named) == 4
    assert last == f"webhook secret of office {offices[3]} and 2 more"


def lost_secrets(run: Run) -> list[str]:
    """Return the secrets that doctor names. Check its advice."""
    result = run("doctor")
    assert result.exit_code == 1
    (names,) = re.findall(
        r"^BAD   SECRET_KEY: does not decrypt (.*)\n"
        r"      → Add the previous key to SECRET_KEY_FALLBACKS\. If it is lost, run automart keys"
        r" rotate, and rotate the webhook secrets of these offices\.\n",
        result.stdout,
        re.MULTILINE,
    )
    found: list[str] = names.split(", ")
    return found


@pytest.mark.usefixtures("_working")
@on_sqlite
def test_doctor_reports_photos_that_are_missing(app: Flask, run: Run) -> None:
    with transaction():
        for number in range(12):
            token = f"{number:0{TOKEN_LENGTH}x}"
            db.session.add(Customer(first_name="Ann", last_name="Lee", photo_token=token))
        db.session.add(Customer(first_name="Ben", last_name="Lee"))
    result = run("doctor")
    assert result.exit_code == 1
    assert (
        """
BAD   Photos: 10 of 10 that were checked are missing
      → Is PHOTO_STORAGE the right one? If so, restore it (docs/backup.md).
"""
        in result.stdout
    )


@pytest.mark.usefixtures("_working")
@on_sqlite
def test_doctor_counts_the_photos_that_it_has_read(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "0" * TOKEN_LENGTH
    (tmp_path / "pictures" / "00").mkdir(parents=True)
    (tmp_path / "pictures" / "00" / f"{token}.webp").write_bytes(b"a picture")
    with transaction():
        db.session.add(Customer(first_name="Ann", last_name="Lee", photo_token=token))
    monkeypatch.setenv("PHOTO_STORAGE", str(tmp_path / "pictures"))
    assert "\nok    Photos: 1 checked\n" in run("doctor").stdout


@pytest.mark.usefixtures("_working")
@on_sqlite
def test_doctor_notes_a_stale_catalogue(run: Run) -> None:
    add_models({440: {}})
    never = "\nnote  Catalogue: 1 makes, never synced\n      → Run automart sync.\n"
    assert never in run("doctor").stdout
    with transaction():
        synced_at = datetime(2026, 1, 15, 0, 0, 0, 500, tzinfo=UTC)
        db.session.get_one(VehicleMake, 440).synced_at = synced_at
    synced = "\nok    Catalogue: 1 makes, last synced 2026-01-15T00:00:00Z\n"
    assert synced in run("doctor").stdout


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
