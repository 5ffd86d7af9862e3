"""The database: base model, queries and transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, TypeVar, cast

import structlog
from flask import has_app_context
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    ColumnElement,
    CursorResult,
    MetaData,
    Row,
    Select,
    Table,
    UpdateBase,
    bindparam,
    delete,
    event,
    func,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, registry

from automart.core.compiled_statement import CompiledStatement
from automart.core.db_engine import discard_unusable, one_writer_at_a_time
from automart.core.db_types import UtcDateTime
from automart.core.errors import Invalid, NotFound
from automart.core.turns import RepeatedWait

log = structlog.get_logger(__name__)

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def utcnow() -> datetime:
    return datetime.now(UTC)


class Model(DeclarativeBase):
    """Base of all tables."""

    noun: ClassVar[str]
    """The name of a row in messages, as in "There is no make 7"."""

    # Flask-SQLAlchemy derives from this class, and a registry can be inherited.
    registry = registry(
        metadata=MetaData(naming_convention=NAMING_CONVENTION),
        type_annotation_map={datetime: UtcDateTime, dict[str, Any]: JSON(none_as_null=True)},
    )

    def update(self, changes: Mapping[str, Any]) -> None:
        """Set the attributes that `changes` names. The others keep their values.

        Raises `TypeError` for a name that the model does not have, as its constructor does.
        """
        for name, value in changes.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no {name!r}.")
            setattr(self, name, value)


def time_of_creation(context: DefaultExecutionContext) -> datetime:
    """Return the `created_at` of the row that is inserted: a default for its `updated_at`."""
    # SQLAlchemy leaves this one method untyped.
    created_at: datetime = context.get_current_parameters()["created_at"]  # type: ignore[no-untyped-call]
    return created_at


class Timestamped:
    """Adds the times of creation and of the last change, which are equal in a new row."""

    # After the table's own columns. SQLAlchemy computes defaults in this order.
    created_at: Mapped[datetime] = mapped_column(default=utcnow, sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        default=time_of_creation, onupdate=utcnow, sort_order=2
    )


db = SQLAlchemy(
    model_class=Model,
    session_options={"expire_on_commit": False},
)
migrate = Migrate()

_commits = RepeatedWait()

ModelT = TypeVar("ModelT", bound=Model)
SelectT = TypeVar("SelectT", bound=Select[*tuple[Any, ...]])
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def get_or_404(model: type[ModelT], ident: Any) -> ModelT:
    """Return the row with this primary key. Raises `NotFound`."""
    row = db.session.get(model, ident)
    if row is None:
        raise NotFound(f"There is no {model.noun} {ident}.")
    return row


def read_or_404(model: type[Model], ident: Any) -> Row[Any]:
    """Return the columns of the row with this primary key. Raises `NotFound`.

    For responses that show nothing but columns: an entity would take twice as long.
    """
    rows: Sequence[Row[Any]] = read(_row_by_key(model), ident=ident)
    if not rows:
        raise NotFound(f"There is no {model.noun} {ident}.")
    return rows[0]


@cache
def _row_by_key(model: type[Model]) -> CompiledStatement:
    return CompiledStatement(_select_by_key(model))


def _select_by_key(model: type[Model]) -> Select[Any]:
    (key,) = table_of(model).primary_key
    return select(table_of(model)).where(key == bindparam("ident", type_=key.type))


def read(query: CompiledStatement, **parameters: Any) -> Sequence[Any]:
    """Return the rows of `query`."""
    engine = db.engine
    if not in_transaction():
        try:
            return query.fetch(engine, parameters)
        except engine.dialect.loaded_dbapi.Error:
            # The connection was lost, or the database is down. The session finds a connection that
            # works, or raises the error that the application handles.
            pass
    return db.session.execute(query.statement, parameters).all()


def write(statement: CompiledStatement, **parameters: Any) -> Sequence[Any]:
    """Execute an INSERT or UPDATE: in the current transaction, or as one of its own. Return its
    rows.

    As one of its own, an UPDATE is repeated after a lost connection. So it must not apply twice: it
    names the version that it replaces.
    """
    if in_transaction():
        db.session.flush()
        return db.session.execute(statement.statement, parameters).all()
    release_connection()
    engine = db.engine
    driver_error = engine.dialect.loaded_dbapi.Error
    try:
        with one_writer_at_a_time(engine), _commits.waiting():
            return statement.fetch(engine, parameters)
    except driver_error as error:
        # connections to SQLite are not lost
        if engine.name == "sqlite" or not statement.statement.is_update:
            discard_unusable(engine, error)
            raise DBAPIError.instance(
                None, None, error, driver_error, dialect=engine.dialect
            ) from error
    with transaction():
        return db.session.execute(statement.statement, parameters).all()


@cache
def rows_of(model: type[Model]) -> Select[Any]:
    """Return a query of all rows of `model`, for lists that show nothing but columns."""
    return select(*table_of(model).columns)


def for_update(statement: SelectT, model: type[Model], *, before_delete: bool = False) -> SelectT:
    """Return `statement` so that it reads rows of `model` anew and locks them for writing.

    Other transactions can still insert rows that refer to them (FOR NO KEY UPDATE), except with
    `before_delete` (FOR UPDATE).
    """
    locked = statement.with_for_update(of=model, key_share=not before_delete)
    return locked.execution_options(populate_existing=True)


def lock_or_404(model: type[ModelT], ident: Any, *, before_delete: bool = False) -> ModelT:
    """Return a row that was read and locked by `for_update`. Raises `NotFound`."""
    row: ModelT | None = db.session.scalar(_locked_by_key(model, before_delete), {"ident": ident})
    if row is None:
        raise NotFound(f"There is no {model.noun} {ident}.")
    return row


@cache
def _locked_by_key(model: type[Model], before_delete: bool) -> Select[Any]:
    (key,) = table_of(model).primary_key
    found = select(model).where(key == bindparam("ident", type_=key.type))
    return for_update(found, model, before_delete=before_delete)


def lock_row_or_404(model: type[Model], ident: Any) -> Row[Any]:
    """Return the columns of a row, freshly read and locked for writing. Raises `NotFound`."""
    row = db.session.execute(_locked_row_by_key(model), {"ident": ident}).one_or_none()
    if row is None:
        raise NotFound(f"There is no {model.noun} {ident}.")
    return row


@cache
def _locked_row_by_key(model: type[Model]) -> Select[Any]:
    return _select_by_key(model).with_for_update(key_share=True)


def lock_name(name: str) -> None:
    """Let other transactions that lock this name wait until the current one ends.

    For what must be serialized before it is known which rows to lock.
    """
    if db.engine.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        db.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def get_referenced(model: type[ModelT], field: str, ident: int) -> ModelT:
    """Return the row that `field` of a body refers to, freshly read. Raises `Invalid`.

    The row cannot be deleted until the transaction ends.
    """
    row = db.session.get(
        model,
        ident,
        populate_existing=True,
        with_for_update={"read": True, "key_share": True, "of": model},
    )
    if row is None:
        raise Invalid.field(field, f"There is no {model.noun} {ident}.")
    return row


def get_for_share(model: type[ModelT], ident: Any) -> ModelT | None:
    """Return a row, freshly read, or None. No other transaction can change it until this one ends.

    For transactions that rely on its values and do not change it.
    """
    return db.session.get(
        model, ident, populate_existing=True, with_for_update={"read": True, "of": model}
    )


def rowcount(statement: UpdateBase, parameters: Parameters | None = None) -> int:
    """Execute an INSERT, UPDATE or DELETE. Return the number of affected rows."""
    # Without this option, the count of an INSERT is lost (-1) when its cursor is closed.
    result = db.session.execute(
        statement, parameters, execution_options={"preserve_rowcount": True}
    )
    return cast("CursorResult[Any]", result).rowcount


def table_of(model: type[Model]) -> Table:
    """Return the table of `model`, for statements that are executed often and need no entities."""
    return cast("Table", model.__table__)


def insert(model: type[Model] | Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that supports `on_conflict_do_…`, which is the same on both databases."""
    if db.engine.dialect.name == "postgresql":
        return postgresql.insert(model)
    return sqlite.insert(model)


@contextmanager
def transaction(*, durable: bool = True) -> Iterator[None]:
    """Commit at the end, or roll back on an error. After the commit, call the callbacks of
    `after_commit`.

    Raises `RuntimeError` if the session already has changes: nothing is written outside a
    transaction. Inside another transaction, this is a part of it. `durable=False` does not wait for
    the disk on commit. Use it only for work that is done again after a power failure, never for
    anything that was acknowledged to a client.
    """
    session = db.session()
    if in_transaction():
        yield
        session.flush()  # sets ids and finds violated constraints, as a commit does
        return
    # On SQLite, a transaction that began with a read may fail to write.
    release_connection()
    callbacks: list[Callable[[], None]] = []
    options = {"writes": True, "durable": durable}
    with one_writer_at_a_time(db.engine) as writing:
        session.info["after_commit"] = callbacks
        try:
            session.connection(execution_options=options)
            yield
            session.flush()
            with _commits.waiting():
                session.commit()
                writing.close()  # the next writer need not wait until this thread has its turn
        except BaseException:
            session.rollback()
            raise
        finally:
            del session.info["after_commit"]
    for callback in callbacks:
        callback()


def in_transaction() -> bool:
    """Return whether the caller is inside `transaction()`."""
    return db.session.registry.has() and "after_commit" in db.session().info


def after_commit(callback: Callable[[], None]) -> None:
    """Call `callback` after the current transaction is committed; never if it is rolled back."""
    if not in_transaction():
        raise RuntimeError("after_commit() was called outside transaction().")
    db.session().info["after_commit"].append(callback)


def release_connection() -> None:
    """End the transaction that reads have opened. Loaded rows stay usable.

    Raises `RuntimeError` if there are changes: they must not be committed here.
    """
    if in_transaction():
        raise RuntimeError("release_connection() was called inside transaction().")
    if db.session.registry.has() and db.session().in_transaction():
        db.session().commit()


def refuse_in_transaction(what: str) -> None:
    """Raise `RuntimeError` if any transaction is open: slow work would keep its locks."""
    if has_app_context() and db.session().in_transaction():
        raise RuntimeError(f"A transaction is open during slow work: {what}.")


def _refuse_foreign_changes(session: Session, *_: object) -> None:
    if "after_commit" not in session.info:
        raise RuntimeError("The session has changes that were made outside of transaction().")


event.listen(db.session, "before_flush", _refuse_foreign_changes)


def end_session(_error: BaseException | None = None) -> None:
    """Close the session. A lost connection at this point must not turn a finished response into an
    error."""
    if not db.session.registry.has():
        return
    try:
        db.session.close()
    except DBAPIError as error:
        log.warning("connection_lost", error=str(error.orig))
        db.session().invalidate()


def disable_idle_timeout() -> None:
    """Let the current read-only transaction idle for as long as its reader takes."""
    if db.engine.dialect.name == "postgresql":
        db.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def delete_in_batches(model: type[Model], which: ColumnElement[bool], batch_size: int = 500) -> int:
    """Delete the rows that match `which` and return their number.

    Each batch is a transaction of its own, so that other writers do not wait for all of them.
    """
    key = table_of(model).primary_key.columns
    batch = select(*key).where(which).limit(batch_size)
    total = 0
    while True:
        with transaction():
            deleted = rowcount(delete(model).where(tuple_(*key).in_(batch)))
        total += deleted
        if deleted < batch_size:
            return total
