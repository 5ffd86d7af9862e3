"""`automart doctor`: checks everything that Automart depends on and suggests fixes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import redis
import typer
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from automart.background.kinds import Queue
from automart.background.maintenance import HOUSEKEEPING
from automart.background.models import LeaderLease
from automart.background.queues import check_writable
from automart.cli.application import opened
from automart.cli.doctor_data import data_findings
from automart.cli.doctor_notices import notice_findings, setting_findings
from automart.cli.errors import explain
from automart.cli.findings import Finding, Findings, Grade
from automart.cli.nhtsa_probe import nhtsa_failure
from automart.core import schema_version
from automart.core.config import Settings
from automart.core.db import db, release_connection, utcnow
from automart.core.errors import Unavailable
from automart.core.storage import NotStored, current_storage
from automart.operations.collectors import living_workers
from automart.operations.health import check_database_writable

OLDEST_POSTGRESQL = 14
OLDEST_REDIS = (6, 2)
MAX_CLOCK_DIFFERENCE = timedelta(seconds=2)
NHTSA_TIMEOUT_SECONDS = 3.0


def doctor() -> None:
    """Check everything that Automart depends on and suggest fixes.

    Checks settings, database, schema, Redis, workers, waiting jobs, stored secrets and photos,
    NHTSA, photo storage and clocks. The web processes need not be running. Notes need no action.
    The exit status is 1 if a check is BAD.
    """
    settings = Settings.from_environment(log_format="console")
    is_healthy = True
    with opened(settings) as app:
        for finding in examine(app, settings):
            typer.echo(str(finding))
            is_healthy = is_healthy and finding.grade is not Grade.BAD
    if not is_healthy:
        raise typer.Exit(1)


def examine(app: Flask, settings: Settings) -> Findings:
    """Return all findings. Checks that depend on something that is down are skipped."""
    with ThreadPoolExecutor(1) as pool:
        # A silent NHTSA takes longest. The other checks do not wait for it.
        failure = pool.submit(
            nhtsa_failure, settings.nhtsa_url, give_up_after=NHTSA_TIMEOUT_SECONDS
        )
        yield from _parts(app, settings)
        yield from _nhtsa(settings, failure.result())


def _parts(app: Flask, settings: Settings) -> Findings:
    yield from _settings(settings)
    database = list(_database(settings))
    yield from database
    has_database = all(finding.grade is Grade.OK for finding in database)
    client: redis.Redis = app.extensions["redis"]
    found = list(_redis(client))
    yield from found
    yield from _redis_password(settings)
    has_redis = all(finding.grade is Grade.OK for finding in found)
    if has_database:
        yield from _housekeeping()
        yield from data_findings()
        yield from notice_findings(settings)
    if has_redis:
        yield from _workers()
    yield from _photos()
    yield from _clocks(client if has_redis else None, settings if has_database else None)


def _settings(settings: Settings) -> Findings:
    yield Finding(Grade.OK, "Settings", "valid")
    for warning in settings.warnings:
        yield Finding(Grade.NOTE, "Settings", warning)
    if settings.public_url is None:
        yield Finding(
            Grade.NOTE,
            "PUBLIC_URL",
            "not set; links and tokens contain the host of each request",
            "Set it to the address that clients use, such as https://cars.example",
        )
    if not settings.rate_limit:
        yield Finding(
            Grade.NOTE,
            "RATE_LIMIT",
            "not set; callers may send any number of requests",
            "Set it, for example to 600/minute, if others can reach this server.",
        )
    yield from setting_findings(settings)


def _database(settings: Settings) -> Findings:
    engine = schema_version.short_timeout_engine(settings)
    try:
        with engine.connect() as connection:
            name, version = connection.dialect.name, connection.dialect.server_version_info or ()
            number = ".".join(map(str, version))
            if name == "postgresql" and version < (OLDEST_POSTGRESQL,):
                advice = f"Use PostgreSQL {OLDEST_POSTGRESQL} or newer."
                yield Finding(Grade.BAD, "Database", f"PostgreSQL {number} is too old", advice)
                return
            state = schema_version.schema_state(connection)
        check_database_writable(engine)
    except SQLAlchemyError as error:
        advice = "Is it running, not full and no standby, and is DATABASE_URL right?"
        yield Finding(Grade.BAD, "Database", explain(error), advice)
        return
    yield Finding(Grade.OK, "Database", f"{name} {number} responds and can be written to")
    advice = "" if state.serves else f"Run: {schema_version.UPGRADE}"
    yield Finding(Grade.OK if state.serves else Grade.BAD, "Schema", str(state), advice)


def _redis(client: redis.Redis) -> Findings:
    try:
        version = str(client.info("server")["redis_version"])
        check_writable(client)
    except redis.RedisError as error:
        advice = (
            "Is it running, not full (maxmemory) and no replica, and is REDIS_URL right? Jobs are"
            " accepted and kept until then."
        )
        yield Finding(Grade.BAD, "Redis", explain(error), advice)
        return
    if tuple(map(int, version.split(".")[:2])) < OLDEST_REDIS:
        yield Finding(Grade.BAD, "Redis", f"{version} is too old", "Use 6.2 or newer, or Valkey.")
        return
    yield Finding(Grade.OK, "Redis", f"{version} responds and accepts messages")


def _redis_password(settings: Settings) -> Findings:
    parts = urlsplit(settings.redis_url)
    if parts.scheme != "unix" and parts.password is None:
        yield Finding(
            Grade.NOTE,
            "Redis password",
            "not in REDIS_URL; others who reach Redis can delay jobs and lift rate limits",
            "Set requirepass, and REDIS_URL to redis://:PASSWORD@HOST:6379/0.",
        )


def _housekeeping() -> Findings:
    until = db.session.scalar(select(LeaderLease.until).where(LeaderLease.name == HOUSEKEEPING))
    release_connection()  # the next checks wait for other services
    if until is not None and until > utcnow():
        yield Finding(Grade.OK, "Housekeeping", "done by a worker")
        return
    yield Finding(Grade.BAD, "Housekeeping", "not done", "Start a worker: python worker.py")


def _workers() -> Findings:
    for queue in Queue:
        count = living_workers(queue)
        if count:
            yield Finding(Grade.OK, f"Workers of {queue}", str(count))
        else:
            advice = (
                f"Start one: python worker.py, or python worker.py {queue} for this queue alone"
            )
            yield Finding(Grade.BAD, f"Workers of {queue}", "none", advice)


def _nhtsa(settings: Settings, failure: str | None) -> Findings:
    if failure is None:
        yield Finding(Grade.OK, "NHTSA", "responds")
        return
    advice = f"Can this host reach {settings.nhtsa_url}? Only syncs need it."
    yield Finding(Grade.NOTE, "NHTSA", failure, advice)


def _photos() -> Findings:
    key, content = f"doctor/{secrets.token_hex(8)}", secrets.token_bytes(16)
    storage = current_storage()
    try:
        storage.put(key, content)
        is_same = storage.get(key) == content
        storage.delete(key)
    except (Unavailable, NotStored, OSError):
        is_same = False
    if is_same:
        yield Finding(Grade.OK, "Photo storage", "can be written and read")
        return
    advice = "Can this user write to PHOTO_STORAGE? See the log for the reason."
    yield Finding(Grade.BAD, "Photo storage", "cannot be used", advice)


def _clocks(client: redis.Redis | None, settings: Settings | None) -> Findings:
    clocks: dict[str, Callable[[], datetime]] = {}
    if client is not None:
        clocks["Redis"] = lambda: _time_of(client)
    if settings is not None and not settings.is_sqlite:
        clocks["the database"] = _time_of_database
    for name, read in clocks.items():
        difference = abs(read() - utcnow())
        if difference > MAX_CLOCK_DIFFERENCE:
            detail = f"differs from that of {name} by {difference.total_seconds():.0f} seconds"
            yield Finding(Grade.BAD, "Clock", detail, "Let NTP set the clocks of all hosts.")
            return
    yield Finding(
        Grade.OK, "Clock", f"agrees with {' and '.join(clocks)}" if clocks else "not compared"
    )


def _time_of_database() -> datetime:
    # now() is the start of the transaction, which an earlier check may have opened.
    release_connection()
    return db.session.scalar(select(func.now())) or utcnow()


def _time_of(client: redis.Redis) -> datetime:
    seconds, microseconds = client.time()
    return datetime.fromtimestamp(seconds + microseconds / 1_000_000, UTC)
