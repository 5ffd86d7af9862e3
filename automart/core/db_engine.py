"""Connections to SQLite and PostgreSQL: their settings, and how transactions begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from automart.core.turns import turn_released

SQLITE_BUSY_SECONDS = 15
# Without them, a host that is cut off or a process that is stopped would keep its locks until TCP
# gives up, for two hours.
POSTGRESQL_SETTINGS = {
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "2",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "10s",
}

_write_locks: WeakKeyDictionary[Engine, Lock] = WeakKeyDictionary()


@contextmanager
def one_writer_at_a_time(engine: Engine) -> Iterator[None]:
    """Wait, on SQLite, until no other thread of this process writes.

    SQLite allows one writer. The others poll in no particular order, and some time out without
    success. The fewer there are, the sooner each succeeds.
    """
    lock = _write_locks.get(engine)
    with turn_released():
        acquired = lock is not None and lock.acquire(timeout=SQLITE_BUSY_SECONDS)
    try:
        yield
    finally:
        if lock is not None and acquired:
            lock.release()


def prepare_engine(engine: Engine) -> None:
    """Install the event listeners that the database of `engine` needs."""
    if engine.dialect.name == "sqlite":
        _write_locks[engine] = Lock()
        event.listen(engine, "connect", _prepare_sqlite_connection)
        event.listen(engine, "begin", _begin_on_sqlite)
    else:
        set_on_connect(engine, POSTGRESQL_SETTINGS)
        event.listen(engine, "begin", _begin_on_postgresql)


def set_on_connect(engine: Engine, settings: Mapping[str, str]) -> None:
    """Apply `settings` to each connection to PostgreSQL.

    They are sent as statements: PgBouncer rejects connections with such start-up parameters.
    """
    script = "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())

    @event.listens_for(engine, "connect")
    def execute(connection: Any, _record: Any) -> None:
        connection.autocommit = True  # otherwise the first rollback would undo them
        connection.execute(script)
        connection.autocommit = False


def _prepare_sqlite_connection(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes too late (before the first write), and never IMMEDIATE.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {SQLITE_BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_on_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("writes"):
        connection.exec_driver_sql("BEGIN")
        return
    synchronous = "FULL" if options.get("durable", True) else "NORMAL"
    connection.exec_driver_sql(f"PRAGMA synchronous = {synchronous}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_on_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get("durable", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
