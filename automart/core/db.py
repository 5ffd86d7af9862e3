"""The database: base model, column types, transactions, what SQLite and PostgreSQL differ in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from typing import Any, ClassVar, TypeVar, cast
from weakref import WeakKeyDictionary

import structlog
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    ColumnElement,
    CursorResult,
    MetaData,
    Select,
    Table,
    UpdateBase,
    delete,
    event,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry

from automart.core.db_types import UtcDateTime
from automart.core.errors import NotFound

log = structlog.get_logger(__name__)

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

SQLITE_BUSY_SECONDS = 15
# What PostgreSQL does of its own accord, so that nobody waits for ever behind a host that is cut
# off or a process that is stopped: it would keep its locks until TCP gives up, for two hours.
POSTGRESQL_SETTINGS = {
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "2",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "10s",
}


def utcnow() -> datetime:
    return datetime.now(UTC)


class Model(DeclarativeBase):
    """Base of all tables."""

    noun: ClassVar[str]
    """What a client calls such a thing, as in "There is no make 7"."""

    # Flask-SQLAlchemy derives from this class, and a registry can be inherited.
    registry = registry(
        metadata=MetaData(naming_convention=NAMING_CONVENTION),
        type_annotation_map={datetime: UtcDateTime, dict[str, Any]: JSON(none_as_null=True)},
    )

    def update(self, changes: Mapping[str, Any]) -> None:
        """Set the attributes that `changes` names and leave the others."""
        for name, value in changes.items():
            setattr(self, name, value)


def time_of_creation(context: DefaultExecutionContext) -> datetime:
    """Return the `created_at` of the row that is inserted: a default for its `updated_at`."""
    # SQLAlchemy leaves this one method untyped.
    created_at: datetime = context.get_current_parameters()["created_at"]  # type: ignore[no-untyped-call]
    return created_at


class Timestamped:
    """Adds the times of creation and of the last change. Of a new row both are the same."""

    # After the table's own columns. SQLAlchemy computes defaults in this order.
    created_at: Mapped[datetime] = mapped_column(default=utcnow, sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        default=time_of_creation, onupdate=utcnow, sort_order=2
    )


db = SQLAlchemy(
    model_class=Model,
    session_options={"expire_on_commit": False},
    engine_options={"pool_pre_ping": True},
)
migrate = Migrate()
_turns: WeakKeyDictionary[Engine, Lock] = WeakKeyDictionary()

ModelT = TypeVar("ModelT", bound=Model)
SelectT = TypeVar("SelectT", bound=Select[*tuple[Any, ...]])
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def get_or_404(model: type[ModelT], ident: Any, *, lock: bool = False) -> ModelT:
    """The row, freshly read and locked against other writers if `lock`; `NotFound` without it."""
    row = db.session.get(
        model, ident, populate_existing=lock, with_for_update=True if lock else None
    )
    if row is None:
        raise NotFound(f"There is no {model.noun} {ident}.")
    return row


def for_update(statement: SelectT, model: type[Model], *, before_delete: bool = False) -> SelectT:
    """Return `statement` so that it reads rows of `model` anew and locks them for writing.

    Other transactions can still insert rows that refer to them (FOR NO KEY UPDATE), except with
    `before_delete` (FOR UPDATE).
    """
    locked = statement.with_for_update(of=model, key_share=not before_delete)
    return locked.execution_options(populate_existing=True)


def lock_or_404(model: type[ModelT], ident: Any, *, before_delete: bool = False) -> ModelT:
    """Return a row that was read and locked by `for_update`. Raises `NotFound`."""
    key = model.__mapper__.primary_key[0]
    statement = for_update(select(model).where(key == ident), model, before_delete=before_delete)
    row: ModelT | None = db.session.scalar(statement)
    if row is None:
        raise NotFound(f"There is no {model.noun} {ident}.")
    return row


def rowcount(statement: UpdateBase, parameters: Parameters | None = None) -> int:
    """Execute an INSERT, UPDATE or DELETE. Answers the number of rows that it touched."""
    # An INSERT's count is forgotten (-1) with the closing of the cursor unless it is asked for.
    result = db.session.execute(
        statement, parameters, execution_options={"preserve_rowcount": True}
    )
    return cast("CursorResult[Any]", result).rowcount


def table_of(model: type[Model]) -> Table:
    """The table of `model`, for statements that are executed often and need no entities."""
    return cast("Table", model.__table__)


def insert(model: type[Model] | Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say `on_conflict_do_…`, which both databases spell alike."""
    if db.engine.dialect.name == "postgresql":
        return postgresql.insert(model)
    return sqlite.insert(model)


@contextmanager
def transaction(*, durable: bool = True) -> Iterator[None]:
    """Commit at the end, roll back on an error; then call what `after_commit` was given.

    Inside another transaction it is a part of that one. `durable=False` does not wait for the disk
    on commit: only for work that is found undone and done again after a power failure, never for
    what was acknowledged to a client.
    """
    session = db.session()
    if "after_commit" in session.info:
        yield
        session.flush()  # so that what follows finds it as after a commit: ids, broken rules
        return
    # A read before (of the caller's token, say) has opened a transaction, which on SQLite could
    # not become a writing one: it is ended first. What was loaded stays usable.
    session.commit()
    callbacks: list[Callable[[], None]] = session.info.setdefault("after_commit", [])
    options = {"writes": True, "durable": durable}
    with _turn_to_write():
        try:
            session.connection(execution_options=options)
            yield
            session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            del session.info["after_commit"]
    for callback in callbacks:
        callback()


def after_commit(callback: Callable[[], None]) -> None:
    """Call `callback` once the present transaction is committed; never if it is rolled back."""
    db.session().info["after_commit"].append(callback)


def release_connection() -> None:
    """End the transaction that reads have opened, so that none is open while we wait."""
    db.session().commit()


def end_session(_error: BaseException | None = None) -> None:
    """Give back the connection. That it is found lost then does not undo what has been answered."""
    try:
        db.session.close()
    except DBAPIError as error:
        log.warning("connection_lost", error=str(error.orig))
        db.session().invalidate()


def is_transient(error: DBAPIError) -> bool:
    """Whether the database is to blame, which is away or busy, and not what it was asked."""
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))


def disable_idle_timeout() -> None:
    """Let the present transaction, which only reads, idle for as long as its reader pleases."""
    if db.engine.dialect.name == "postgresql":
        db.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def delete_in_batches(model: type[Model], which: ColumnElement[bool], at_once: int = 500) -> int:
    """Delete the rows that `which` describes, in transactions of `at_once` rows: others want to
    write meanwhile. Answers how many."""
    key = table_of(model).primary_key.columns
    some = select(*key).where(which).limit(at_once)
    total = 0
    while True:
        with transaction():
            deleted = rowcount(delete(model).where(tuple_(*key).in_(some)))
        total += deleted
        if deleted < at_once:
            return total


@contextmanager
def _turn_to_write() -> Iterator[None]:
    """Wait, on SQLite, until no other thread of this process writes.

    SQLite lets one write at a time, and has the others ask again and again, in no order: some ask
    in vain until their time is over. The fewer ask, the sooner each has its turn.
    """
    turn = _turns.get(db.engine)
    waited = turn is not None and turn.acquire(timeout=SQLITE_BUSY_SECONDS)
    try:
        yield
    finally:
        if turn is not None and waited:
            turn.release()


def prepare_engine(engine: Engine) -> None:
    """Install what the two databases need on each connection and transaction."""
    if engine.dialect.name == "sqlite":
        _turns[engine] = Lock()
        event.listen(engine, "connect", _prepare_sqlite_connection)
        event.listen(engine, "begin", _begin_on_sqlite)
    else:
        set_on_connect(engine, POSTGRESQL_SETTINGS)
        event.listen(engine, "begin", _begin_on_postgresql)


def set_on_connect(engine: Engine, settings: Mapping[str, str]) -> None:
    """Have PostgreSQL heed `settings` on each connection.

    By statements: a pgbouncer refuses connections that ask for them from the start.
    """
    script = "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())

    @event.listens_for(engine, "connect")
    def execute(connection: Any, _record: Any) -> None:
        connection.autocommit = True  # else they would go with the first rollback
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
    synchronous = "FULL" if options["durable"] else "NORMAL"
    connection.exec_driver_sql(f"PRAGMA synchronous = {synchronous}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_on_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get("durable", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
