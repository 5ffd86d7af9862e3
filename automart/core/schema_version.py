"""Whether the database has the schema that this release needs; asked without the application."""

from __future__ import annotations

import enum
import sqlite3
from functools import cache
from pathlib import Path

import structlog
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError as UnknownRevision
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from automart.core.config import Settings
from automart.core.db import set_on_connect

log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).parents[2] / "migrations"
UPGRADE = "flask --app wsgi db upgrade"
PATIENCE_SECONDS = 2


class SchemaState(enum.StrEnum):
    """What a database has, seen from this release. A newer schema still serves it: migrations
    keep what the release before needs."""

    CURRENT = "current"
    MISSING = "missing"
    OLDER = "older"
    NEWER = "newer"

    @property
    def serves(self) -> bool:
        return self in (SchemaState.CURRENT, SchemaState.NEWER)


class SchemaTooOld(Exception):
    """The database was not migrated; the message says what to do."""


def schema_state(connection: Connection) -> SchemaState:
    """What the database at the other end of `connection` has."""
    present = set(MigrationContext.configure(connection).get_current_heads())
    if not present:
        return SchemaState.MISSING
    if present == set(_scripts().get_heads()):
        return SchemaState.CURRENT
    return SchemaState.OLDER if all(map(_is_known, present)) else SchemaState.NEWER


def check_schema(connection: Connection) -> SchemaState:
    """The state of a schema that serves. Raises `SchemaTooOld`."""
    state = schema_state(connection)
    if not state.serves:
        found = "no schema" if state is SchemaState.MISSING else "an older release's schema"
        raise SchemaTooOld(f"The database has {found}. Run: {UPGRADE}")
    return state


def impatient_engine(settings: Settings) -> Engine:
    """An engine to look after a database: no pool that others could use up, and short waits."""
    waits = {"connect_timeout": PATIENCE_SECONDS, "tcp_user_timeout": PATIENCE_SECONDS * 1000}
    engine = create_engine(
        settings.database_url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": PATIENCE_SECONDS} if settings.is_sqlite else waits,
    )
    if not settings.is_sqlite:
        set_on_connect(engine, {"statement_timeout": f"{PATIENCE_SECONDS}s"})
    return engine


def check_before_start(settings: Settings) -> None:
    """Raise `SchemaTooOld` if nothing could be served. A database that is down may yet come up."""
    try:
        with impatient_engine(settings).connect() as connection:
            tell_if_newer(check_schema(connection))
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_CANTOPEN:
            raise SchemaTooOld(f"There is no database: {error.orig}. Run: {UPGRADE}") from None
        log.warning("database_unavailable", error=str(error.orig))


def tell_if_newer(state: SchemaState) -> None:
    if state is SchemaState.NEWER:
        log.warning("schema_is_newer", detail="The next release's migration has been run.")


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _is_known(revision: str) -> bool:
    try:
        return _scripts().get_revision(revision) is not None
    except UnknownRevision:
        return False
