"""Whether we can serve: what we depend on is looked at, and never waited for for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from typing import Any

import redis
import structlog
from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from automart.core.config import Settings
from automart.core.schema_version import SchemaState, impatient_engine, schema_state, tell_if_newer

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 3.0
OK, DOWN = "ok", "down"


class Probe:
    """Something to look at. What hangs is looked at by one thread, however many want to know."""

    def __init__(self, look: Callable[[], str]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._running: Future[str] | None = None

    def begin(self) -> Future[str]:
        """What it answers some time; that of the look which is going on, if there is one."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                arguments = (self._running,)
                threading.Thread(target=self._run, args=arguments, daemon=True).start()
            return self._running

    def _run(self, answer: Future[str]) -> None:
        try:
            answer.set_result(self._look())
        except Exception as error:
            answer.set_exception(error)


class Health:
    """The parts that we depend on. One per application."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._engine = impatient_engine(settings)
        self._redis = client
        self._has_told_of_newer_schema = False
        self._probes = {"database": Probe(self._schema), "redis": Probe(self._ping)}

    def look(self) -> Mapping[str, str]:
        """The state of each part, within `PATIENCE_SECONDS` whatever hangs."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        begun = {name: probe.begin() for name, probe in self._probes.items()}
        found = {name: _answer(name, future, deadline) for name, future in begun.items()}
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
        if state is SchemaState.NEWER and not self._has_told_of_newer_schema:
            self._has_told_of_newer_schema = True
            tell_if_newer(state)
        return OK if state is SchemaState.CURRENT else str(state)

    def _ping(self) -> str:
        self._redis.ping()
        return OK


def init_health(app: Flask, settings: Settings) -> None:
    app.extensions["health"] = Health(settings, app.extensions["redis"])


def look() -> dict[str, Any]:
    """`status` and `parts` of the present application."""
    health: Health = current_app.extensions["health"]
    parts = health.look()
    if parts["database"] == DOWN or parts["schema"] not in (OK, SchemaState.NEWER):
        status = "unavailable"
    else:
        status = "ok" if parts["redis"] == OK else "degraded"
    return {"status": status, "parts": parts}


def _answer(name: str, future: Future[str], deadline: float) -> str:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except (TooLate, SQLAlchemyError, redis.RedisError) as error:
        log.warning("part_is_down", part=name, error=str(error) or type(error).__name__)
        return DOWN
