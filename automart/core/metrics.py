"""What each process counts for Prometheus: requests, and connections to the database.

Under gunicorn the processes count in files of one folder, and the process that is scraped adds them
up. What the database knows (jobs, queues, syncs) is read by `automart.operations.collectors`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from weakref import WeakSet

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client's name for it
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_own = CollectorRegistry()
# Where the environment names a folder for files, prometheus-client would write there, also in
# programs that nobody asks for numbers. Only `count_in_files` decides that.
values.ValueClass = values.MutexValue

# Each has labels, so that nothing is written before `count_in_files` has said where.
REQUESTS = Counter(
    "automart_http_requests",
    "Requests that were answered.",
    ("method", "route", "status"),
    registry=_own,
)
DURATION = Histogram(
    "automart_http_request_duration_seconds",
    "Time from a request's headers to its answer.",
    ("method", "route"),
    buckets=SECONDS,
    registry=_own,
)
CONNECTIONS = Gauge(
    "automart_database_connections",
    "Connections to the database of all web processes here: open, and of these in use.",
    ("state",),
    multiprocess_mode="livesum",
    registry=_own,
)


def measure_requests(app: Flask) -> None:
    """Count the requests of `app`, by route and not by path."""

    @app.after_request
    def count(response: Response) -> Response:
        method = request.method if request.method in METHODS else "other"
        route = request.url_rule.rule if request.url_rule else "none"
        REQUESTS.labels(method, route, response.status_code).inc()
        DURATION.labels(method, route).observe(time.perf_counter() - g.started)
        return response


def measure_connections(engine: Engine) -> None:
    """Count the connections of `engine`."""
    in_use: WeakSet[ConnectionPoolEntry] = WeakSet()

    def count_checkout(_connection: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
        in_use.add(entry)
        CONNECTIONS.labels("in_use").inc()

    def count_checkin(_connection: object, entry: ConnectionPoolEntry) -> None:
        # One that could not be connected anew is checked in without having been checked out.
        if entry in in_use:
            in_use.remove(entry)
            CONNECTIONS.labels("in_use").dec()

    event.listen(engine, "connect", lambda *_: CONNECTIONS.labels("open").inc())
    event.listen(engine, "close", lambda *_: CONNECTIONS.labels("open").dec())
    event.listen(engine, "checkout", count_checkout)
    event.listen(engine, "checkin", count_checkin)


def counted() -> CollectorRegistry:
    """What was counted, here or by all processes that count in files."""
    if values.ValueClass is values.MutexValue:
        return _own
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def open_folder() -> None:
    """Make a folder for the processes below this one, unless it has made one already."""
    prefix = f"automart-metrics-{os.getpid()}-"
    if not Path(os.environ.get(_FOLDER, "")).name.startswith(prefix):
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix=prefix)


def remove_folder() -> None:
    shutil.rmtree(os.environ[_FOLDER], ignore_errors=True)


def free_slot(taken: Collection[int]) -> int:
    """The first number that no living process has. Numbers are used again, and with them the files
    of the dead, whose counts still count: so there are never more files than processes."""
    return next(number for number in range(len(taken) + 1) if number not in taken)


def count_in_files(slot: int) -> None:
    """Have this process, one of several, count in the files of `slot`."""
    name = f"{os.getppid()}-{slot}"
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def forget_process(parent: int, slot: int) -> None:
    """Have the connections of a process no longer count, for it has ended."""
    mark_process_dead(f"{parent}-{slot}")  # type: ignore[no-untyped-call]
