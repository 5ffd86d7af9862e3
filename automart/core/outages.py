"""What an error of the database or of Redis says about it: whether it is down, full or read-only.

The class of a Python exception does not say that: psycopg raises an `InternalError` when a failover
has made a connection read-only, and an `OperationalError` for a statement that is too complex.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Mapping

import redis
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError


class Outage(enum.StrEnum):
    """Why a service cannot do its work at the moment. The same request may succeed later."""

    DOWN = "down"
    READ_ONLY = "read-only"
    FULL = "full"
    BUSY = "busy"


# By SQLSTATE, or by its first two or three characters: the class of an error (Appendix A of
# PostgreSQL's manual). An error that is in no class is ours: a faulty statement or value.
_BY_SQLSTATE: Mapping[str, Outage] = {
    "08": Outage.DOWN,  # connection exceptions
    "0A000": Outage.DOWN,  # a cached plan that a migration has made invalid: we use nothing unknown
    "25006": Outage.READ_ONLY,  # a standby, or a primary that became one
    "25P03": Outage.BUSY,  # idle for too long in a transaction
    "25P04": Outage.BUSY,  # the transaction took too long
    "26000": Outage.DOWN,  # a pooler between has changed the connection
    "28": Outage.DOWN,  # it does not let us in
    "3D000": Outage.DOWN,  # there is no such database
    "40": Outage.BUSY,  # serialization failures and deadlocks
    "42501": Outage.READ_ONLY,  # our role may not write
    "53": Outage.BUSY,  # out of memory, too many connections
    "53100": Outage.FULL,
    "54000": Outage.READ_ONLY,  # out of transaction ids
    "55000": Outage.DOWN,  # not in the state for that, such as during recovery
    "55P03": Outage.BUSY,  # waited too long for a lock
    "57": Outage.DOWN,  # shutdowns, crashes and recovery
    "57014": Outage.BUSY,  # the statement took too long
    "58": Outage.DOWN,  # errors of the disk or of the operating system
}
# A connection may stay unusable after these, although it is open.
_DISCARDED = ("08", "0A000", "25006", "26000", "55000", "57P", "58")

_BY_SQLITE_CODE: Mapping[int, Outage] = {
    sqlite3.SQLITE_BUSY: Outage.BUSY,
    sqlite3.SQLITE_LOCKED: Outage.BUSY,
    sqlite3.SQLITE_NOMEM: Outage.BUSY,
    sqlite3.SQLITE_INTERRUPT: Outage.BUSY,
    sqlite3.SQLITE_FULL: Outage.FULL,
    sqlite3.SQLITE_READONLY: Outage.READ_ONLY,
    sqlite3.SQLITE_PERM: Outage.DOWN,
    sqlite3.SQLITE_IOERR: Outage.DOWN,
    sqlite3.SQLITE_CORRUPT: Outage.DOWN,
    sqlite3.SQLITE_NOTADB: Outage.DOWN,
    sqlite3.SQLITE_CANTOPEN: Outage.DOWN,
    sqlite3.SQLITE_PROTOCOL: Outage.DOWN,
}
# SQLite adds details in the higher bits.
_PRIMARY_CODE = 0xFF

_BY_REDIS_CODE: Mapping[str, Outage] = {
    "MISCONF": Outage.READ_ONLY,  # it cannot save its data
    "NOREPLICAS": Outage.READ_ONLY,
}

_SENTENCES: Mapping[Outage, str] = {
    Outage.DOWN: "The database is not available at the moment.",
    Outage.READ_ONLY: "The database cannot be written to at the moment.",
    Outage.FULL: "The database cannot be written to at the moment.",
    Outage.BUSY: "The database is too busy at the moment.",
}


def database_outage(error: DBAPIError) -> Outage | None:
    """Return why the database is unavailable; None if it is not, and the statement is at fault."""
    sqlstate = _sqlstate(error.orig)
    if sqlstate is not None:
        known = next(filter(None, (_BY_SQLSTATE.get(sqlstate[:n]) for n in (5, 3, 2))), None)
        return known or (Outage.DOWN if error.connection_invalidated else None)
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return _BY_SQLITE_CODE.get(code & _PRIMARY_CODE)
    # The driver raised it: it has no connection, or lost it.
    is_lost = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return Outage.DOWN if is_lost else None


def is_unusable_after(error: BaseException) -> bool:
    """Return whether a connection to PostgreSQL must be closed after this error of the driver."""
    return (_sqlstate(error) or "").startswith(_DISCARDED)


def database_sentence(outage: Outage) -> str:
    """Return the sentence for clients."""
    return _SENTENCES[outage]


def redis_outage(error: redis.RedisError) -> Outage:
    """Return why Redis is unavailable."""
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return Outage.FULL
    if isinstance(error, redis.ReadOnlyError):
        return Outage.READ_ONLY
    text = str(error)
    return next((o for code, o in _BY_REDIS_CODE.items() if code in text), Outage.DOWN)


def _sqlstate(error: BaseException | None) -> str | None:
    # psycopg has none for errors that it finds itself.
    return getattr(error, "sqlstate", None)
