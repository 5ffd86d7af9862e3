"""Metrics that each process counts for Prometheus.

Under gunicorn the processes count in files of one folder, and the process that is scraped adds them
up. Jobs, queues and syncs are counted in the database, by `automart.operations.collectors`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path
from weakref import WeakSet

from prometheus_client import CollectorRegistry, Gauge, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client reads this variable

REGISTRY = CollectorRegistry()
"""The metrics of this process.

Each has labels: one without would choose its file before `count_in_files` is called.
"""
# If the environment names a folder for files, prometheus-client would write there in every program,
# also in those that are never scraped. Only `count_in_files` decides that.
values.ValueClass = values.MutexValue

CONNECTIONS = Gauge(
    "automart_database_connections",
    "Connections of all web processes of this host to the database: open, and of these in use.",
    ("state",),
    multiprocess_mode="livesum",
    registry=REGISTRY,
)


def measure_connections(engine: Engine) -> None:
    """Count the connections of `engine`."""
    in_use: WeakSet[ConnectionPoolEntry] = WeakSet()
    in_state = cache(CONNECTIONS.labels)  # finding it takes longer than counting

    def count_checkout(_connection: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
        in_use.add(entry)
        in_state("in_use").inc()

    def count_checkin(_connection: object, entry: ConnectionPoolEntry) -> None:
        # A connection that could not be reopened is checked in without having been checked out.
        if entry in in_use:
            in_use.remove(entry)
            in_state("in_use").dec()

    event.listen(engine, "connect", lambda *_: in_state("open").inc())
    event.listen(engine, "close", lambda *_: in_state("open").dec())
    event.listen(engine, "checkout", count_checkout)
    event.listen(engine, "checkin", count_checkin)


def counted_metrics() -> CollectorRegistry:
    """Return the metrics of this process, or of all processes that count in files."""
    if values.ValueClass is values.MutexValue:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def open_folder() -> None:
    """Create a folder for the children of this process, unless it has created one already."""
    prefix = f"automart-metrics-{os.getpid()}-"
    if not Path(os.environ.get(_FOLDER, "")).name.startswith(prefix):
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix=prefix)


def remove_folder() -> None:
    shutil.rmtree(os.environ[_FOLDER], ignore_errors=True)


def free_slot(taken: Collection[int]) -> int:
    """Return the first number that no running process has.

    Numbers are reused, and with them the files of processes that have ended, whose counts remain
    valid. So there are never more files than processes.
    """
    return next(number for number in range(len(taken) + 1) if number not in taken)


def count_in_files(slot: int) -> None:
    """Let this process, one of several, count in the files of `slot`."""
    name = f"{os.getppid()}-{slot}"
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def remove_process(parent: int, slot: int) -> None:
    """Stop counting the connections of a process that has ended."""
    mark_process_dead(f"{parent}-{slot}")  # type: ignore[no-untyped-call]
