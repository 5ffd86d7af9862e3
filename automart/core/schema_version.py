"""Checks whether the database has the schema that this release needs. Needs no application."""

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
from automart.core.db_engine import limit_answers, set_on_connect

log = structlog.get_logger(__name__)

MIGRATIONS = Path(__file__).parents[2] / "migrations"
UPGRADE = "flask --app wsgi db upgrade"
CHECK_TIMEOUT_SECONDS = 2


class SchemaState(enum.StrEnum):
    """The schema of a database, compared with that of this release.

    This release can run with a newer one: migrations keep what the release before them needs.
    """

    CURRENT = "current"
    MISSING = "missing"
    OLDER = "older"
    NEWER = "newer"

    @property
    def serves(self) -> bool:
        return self in (SchemaState.CURRENT, SchemaState.NEWER)


class SchemaTooOld(Exception):
    """The database was not migrated. The message says what to do."""


def schema_state(connection: Connection) -> SchemaState:
    """Return the state of the schema of a database."""
    present = set(MigrationContext.configure(connection).get_current_heads())
    if not present:
        return SchemaState.MISSING
    if present == set(_scripts().get_heads()):
        return SchemaState.CURRENT
    return SchemaState.OLDER if all(map(_is_known, present)) else SchemaState.NEWER


def require_schema(connection: Connection) -> SchemaState:
    """Return the state of the schema. Raises `SchemaTooOld` if this release cannot run with it."""
    state = schema_state(connection)
    if not state.serves:
        found = "no schema" if state is SchemaState.MISSING else "an older release's schema"
        raise SchemaTooOld(f"The database has {found}. Run: {UPGRADE}")
    return state


def short_timeout_engine(settings: Settings) -> Engine:
    """Return an engine for checks: without a pool, which others could exhaust, and with short
    timeouts."""
    timeouts = {
        "connect_timeout": CHECK_TIMEOUT_SECONDS,
        "tcp_user_timeout": CHECK_TIMEOUT_SECONDS * 1000,
    }
    engine = create_engine(
        settings.database_url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": CHECK_TIMEOUT_SECONDS} if settings.is_sqlite else timeouts,
    )
    if not settings.is_sqlite:
        limit_answers(engine, CHECK_TIMEOUT_SECONDS)
        set_on_connect(engine, {"statement_timeout": f"{CHECK_TIMEOUT_SECONDS}s"})
    return engine


def check_before_start(settings: Settings) -> None:
    """Raise `SchemaTooOld` if no request could be served. A database that is down may still come
    up."""
    try:
        with short_timeout_engine(settings).connect() as connection:
            warn_if_newer(require_schema(connection))
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_CANTOPEN:
            raise SchemaTooOld(f"There is no database: {error.orig}. Run: {UPGRADE}") from None
        log.warning("database_unavailable", error=str(error.orig))


def warn_if_newer(state: SchemaState) -> None:
    if state is SchemaState.NEWER:
        log.warning("schema_is_newer", detail="The migrations of a newer release have been run.")


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _is_known(revision: str) -> bool:
    try:
        return _scripts().get_revision(revision) is not None
    except UnknownRevision:
        return False
