"""Connections to SQLite and PostgreSQL: their settings, and how transactions begin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect, Engine, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from automart.core.outages import is_unusable_after
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
    # Longer than the wait for a lock, which has an error of its own.
    "statement_timeout": "12s",
    # The driver reads its times at once. Those of other zones have to be converted, one by one.
    "TimeZone": "UTC",
}
# A server that hangs (or a host that is suspended) still confirms what it receives, so TCP notices
# nothing. The server's own timeouts come first.
ANSWER_SECONDS = 15.0
PING_SECONDS = 3.0
# A connection that was in use until just now is not pinged.
RECENT_SECONDS = 0.2

T = TypeVar("T")

_write_locks: WeakKeyDictionary[Engine, Lock] = WeakKeyDictionary()


@contextmanager
def one_writer_at_a_time(engine: Engine) -> Iterator[ExitStack]:
    """Wait, on SQLite, until no other thread of this process writes. Yield what ends that.

    SQLite allows one writer. The others poll in no particular order, and some time out without
    success. The fewer there are, the sooner each succeeds.
    """
    with ExitStack() as writing:
        lock = _write_locks.get(engine)
        if lock is not None and _acquire(lock):
            writing.callback(lock.release)
        yield writing


def _acquire(lock: Lock) -> bool:
    if lock.acquire(blocking=False):
        return True
    with turn_released():
        return lock.acquire(timeout=SQLITE_BUSY_SECONDS)


def prepare_engine(engine: Engine) -> None:
    """Install the event listeners that the database of `engine` needs."""
    if engine.dialect.name == "sqlite":
        _write_locks[engine] = Lock()
        event.listen(engine, "connect", _prepare_sqlite_connection)
        event.listen(engine, "begin", _begin_on_sqlite)
    else:
        limit_answers(engine, ANSWER_SECONDS)
        set_on_connect(engine, POSTGRESQL_SETTINGS)
        event.listen(engine, "begin", _begin_on_postgresql)
        event.listen(engine, "handle_error", _discard_unusable)
        event.listen(engine, "checkin", _note_return)
        event.listen(engine, "checkout", partial(_ping, engine.dialect))


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


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that is closed if the server does not answer within `answer_seconds`."""

    answer_seconds: float | None = None

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Wait for an answer of the server. All waiting goes through here."""
        if args or kwargs or self.answer_seconds is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(gen, timeout=self.answer_seconds)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001 - it has no public name
            self.pgconn.finish()
            detail = f"The server did not answer within {self.answer_seconds:g} seconds."
            raise psycopg.OperationalError(detail) from None


def limit_answers(engine: Engine, seconds: float | None) -> None:
    """Close connections to PostgreSQL whose server takes longer for an answer. None: no limit."""

    @event.listens_for(engine, "do_connect")
    def connect(
        _dialect: object, _record: object, args: tuple[Any, ...], parameters: dict[str, Any]
    ) -> LimitedConnection:
        connection = LimitedConnection.connect(*args, **parameters | _threshold(parameters))
        connection.answer_seconds = seconds
        return connection


def _threshold(parameters: dict[str, Any]) -> dict[str, int | None]:
    """Return after how many executions a statement is prepared, if `DATABASE_URL` has an option.

    With `prepare_threshold=none`, none is: PgBouncer's transaction mode gives each transaction
    another connection to the server, which may not have the statement.
    """
    given = parameters.get("prepare_threshold")
    if not isinstance(given, str):
        return {}
    return {"prepare_threshold": None if given == "none" else int(given)}


def wait_without_limit(connection: Connection) -> None:
    """Let statements of a connection to PostgreSQL take any time: those of migrations do."""
    connection.exec_driver_sql("SET statement_timeout = 0")
    driver: Any = connection.connection.dbapi_connection
    driver.answer_seconds = None


def _note_return(_connection: LimitedConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["returned_at"] = time.monotonic()


def _ping(
    dialect: Dialect, connection: LimitedConnection, record: ConnectionPoolEntry, _proxy: object
) -> None:
    """Let the pool replace its connections if this one was lost since it was used last.

    `pool_pre_ping` would do that each time, which takes as long as a query.
    """
    returned_at = record.info.get("returned_at")
    if returned_at is None or time.monotonic() - returned_at < RECENT_SECONDS:
        return
    connection.answer_seconds = PING_SECONDS
    try:
        dialect.do_ping(connection)  # type: ignore[arg-type] # a protocol of SQLAlchemy's own
    except psycopg.Error:
        raise InvalidatePoolError from None
    connection.answer_seconds = ANSWER_SECONDS


def _discard_unusable(context: ExceptionContext) -> None:
    """Close all pooled connections after an error that the next ones would have as well.

    After a failover the old primary refuses to write. New connections reach the new one.
    """
    if is_unusable_after(context.original_exception):
        context.is_disconnect = True


def discard_unusable(engine: Engine, error: Exception) -> None:
    """Do the same after an error of a statement that the driver itself has executed."""
    if is_unusable_after(error):
        engine.dispose()


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
    durable = options.get("durable", True)
    wait_for_disk(connection.exec_driver_sql, connection.info, commits_wait=durable)
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def wait_for_disk(
    execute: Callable[[str], object], info: dict[Any, Any], *, commits_wait: bool = True
) -> None:
    """Let the next commit of a connection to SQLite wait for the disk, or not.

    `info` is the dictionary of the pooled connection.
    """
    synchronous = "FULL" if commits_wait else "NORMAL"
    if info.get("synchronous") != synchronous:
        execute(f"PRAGMA synchronous = {synchronous}")
        info["synchronous"] = synchronous


def _begin_on_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get("durable", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
