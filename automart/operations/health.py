"""Health checks of the database and Redis, within a fixed time."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import redis
import structlog
from flask import Flask, current_app
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from automart.background.models import LeaderLease
from automart.background.queues import check_writable
from automart.core.config import Settings
from automart.core.db import table_of, utcnow
from automart.core.outages import Outage, database_outage, redis_outage
from automart.core.schema_version import (
    SchemaState,
    schema_state,
    short_timeout_engine,
    warn_if_newer,
)

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 3.0
# A successful write is valid for so long: there may be many callers.
WRITE_INTERVAL = 5.0
OK, UNKNOWN = "ok", "unknown"
SERVING_SCHEMAS = (OK, SchemaState.NEWER)


class Probe:
    """A check that may hang. At most one thread runs it, for any number of callers."""

    def __init__(self, check: Callable[[], str]) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._running: Future[str] | None = None

    def begin(self) -> Future[str]:
        """Return the future result of the check. Joins the one that is running, if any."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                arguments = (self._running,)
                threading.Thread(target=self._run, args=arguments, daemon=True).start()
            return self._running

    def _run(self, result: Future[str]) -> None:
        try:
            result.set_result(self._check())
        except Exception as error:
            result.set_exception(error)


class HealthChecks:
    """The checks of an application."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._engine = short_timeout_engine(settings)
        self._redis = client
        self._has_warned_of_newer_schema = False
        self._written_at = float("-inf")
        self._probes = {
            "database": Probe(self._write),
            "schema": Probe(self._schema),
            "redis": Probe(self._push),
        }

    def run(self) -> Mapping[str, str]:
        """Return the state of each part, within `TIMEOUT_SECONDS` even if one hangs."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        begun = {name: probe.begin() for name, probe in self._probes.items()}
        found = {name: _result_of(name, future, deadline) for name, future in begun.items()}
        if isinstance(found["schema"], Outage):
            found["schema"] = UNKNOWN
        return found

    def _schema(self) -> str:
        with self._engine.connect() as connection:
            state = schema_state(connection)
        if state is SchemaState.NEWER and not self._has_warned_of_newer_schema:
            self._has_warned_of_newer_schema = True
            warn_if_newer(state)
        return OK if state is SchemaState.CURRENT else str(state)

    def _write(self) -> str:
        if time.monotonic() > self._written_at + WRITE_INTERVAL:
            check_database_writable(self._engine)
            self._written_at = time.monotonic()
        return OK

    def _push(self) -> str:
        check_writable(self._redis)
        return OK


def init_health(app: Flask, settings: Settings) -> None:
    app.extensions["health"] = HealthChecks(settings, app.extensions["redis"])


def check_database_writable(engine: Engine) -> None:
    """Commit a row, as logins do. Raises `DBAPIError` if the database refuses that.

    A standby, or a database on a full disk, still responds to queries.
    """
    lease = postgresql.insert(table_of(LeaderLease))  # SQLite has the same syntax
    new = lease.values(name="health", holder=uuid.uuid4(), until=utcnow())
    changed = {"until": new.excluded.until}
    try:
        with engine.begin() as connection:
            connection.execute(new.on_conflict_do_update(index_elements=["name"], set_=changed))
    except DBAPIError as error:
        outage = database_outage(error)
        # Without the table, the schema is at fault. SQLite is busy while another process writes.
        if outage is None or (outage is Outage.BUSY and engine.name == "sqlite"):
            return
        raise


def check() -> dict[str, Any]:
    """Return `status` and `parts` of the current application."""
    checks: HealthChecks = current_app.extensions["health"]
    parts = checks.run()
    if parts["database"] not in (OK, Outage.BUSY) or parts["schema"] not in SERVING_SCHEMAS:
        status = "unavailable"
    else:
        status = "ok" if parts["database"] == parts["redis"] == OK else "degraded"
    return {"status": status, "parts": parts}


def _result_of(name: str, future: Future[str], deadline: float) -> str:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except FutureTimeout:
        outage, reason = Outage.DOWN, f"no answer within {TIMEOUT_SECONDS:g} seconds"
    except DBAPIError as error:
        outage, reason = database_outage(error) or Outage.DOWN, str(error.orig)
    except redis.RedisError as error:
        outage, reason = redis_outage(error), str(error) or type(error).__name__
    log.warning("part_is_unavailable", part=name, outage=outage, error=reason)
    return outage
