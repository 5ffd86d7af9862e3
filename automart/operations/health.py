"""Health checks of the database and Redis, within a fixed time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import redis
import structlog
from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from automart.core.config import Settings
from automart.core.schema_version import (
    SchemaState,
    schema_state,
    short_timeout_engine,
    warn_if_newer,
)

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 3.0
OK, DOWN = "ok", "down"


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
        self._probes = {"database": Probe(self._schema), "redis": Probe(self._ping)}

    def run(self) -> Mapping[str, str]:
        """Return the state of each part, within `TIMEOUT_SECONDS` even if one hangs."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        begun = {name: probe.begin() for name, probe in self._probes.items()}
        found = {name: _result_of(name, future, deadline) for name, future in begun.items()}
        schema = found["database"]
        is_up = schema != DOWN
        return {
            "database": OK if is_up else DOWN,
            "schema": schema if is_up else "unknown",
            "redis": found["redis"],
        }

    def _schema(self) -> str:
        with self._engine.connect() as connection:
            state = schema_state(connection)
        if state is SchemaState.NEWER and not self._has_warned_of_newer_schema:
            self._has_warned_of_newer_schema = True
            warn_if_newer(state)
        return OK if state is SchemaState.CURRENT else str(state)

    def _ping(self) -> str:
        self._redis.ping()
        return OK


def init_health(app: Flask, settings: Settings) -> None:
    app.extensions["health"] = HealthChecks(settings, app.extensions["redis"])


def check() -> dict[str, Any]:
    """Return `status` and `parts` of the current application."""
    checks: HealthChecks = current_app.extensions["health"]
    parts = checks.run()
    if parts["database"] == DOWN or parts["schema"] not in (OK, SchemaState.NEWER):
        status = "unavailable"
    else:
        status = "ok" if parts["redis"] == OK else "degraded"
    return {"status": status, "parts": parts}


def _result_of(name: str, future: Future[str], deadline: float) -> str:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except (FutureTimeout, SQLAlchemyError, redis.RedisError) as error:
        log.warning("part_is_down", part=name, error=str(error) or type(error).__name__)
        return DOWN
