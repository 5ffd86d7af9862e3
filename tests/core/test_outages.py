"""What errors of the database and of Redis say about it."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
import redis
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from automart.core.outages import (
    Outage,
    database_outage,
    database_sentence,
    is_unusable_after,
    redis_outage,
)


def of_postgresql(sqlstate: str) -> psycopg.Error:
    error = psycopg.Error()
    error.sqlstate = sqlstate
    return error


@pytest.mark.parametrize(
    ("sqlstate", "outage", "is_unusable"),
    [
        ("08006", Outage.DOWN, True),
        ("0A000", Outage.DOWN, True),
        ("0A001", None, False),
        ("25006", Outage.READ_ONLY, True),
        ("25001", None, False),
        ("25P03", Outage.BUSY, False),
        ("26000", Outage.DOWN, True),
        ("28P01", Outage.DOWN, False),
        ("3D000", Outage.DOWN, False),
        ("40001", Outage.BUSY, False),
        ("42501", Outage.READ_ONLY, False),
        ("42601", None, False),
        ("53300", Outage.BUSY, False),
        ("53100", Outage.FULL, False),
        ("54000", Outage.READ_ONLY, False),
        ("54001", None, False),
        ("55000", Outage.DOWN, True),
        ("55P03", Outage.BUSY, False),
        ("57014", Outage.BUSY, False),
        ("57P01", Outage.DOWN, True),
        ("58030", Outage.DOWN, True),
        ("22001", None, False),
    ],
)
def test_the_state_of_an_error_of_postgresql_names_the_outage(
    sqlstate: str, outage: Outage | None, is_unusable: bool
) -> None:
    driver_error = of_postgresql(sqlstate)
    assert database_outage(DBAPIError("SELECT 1", None, driver_error)) is outage
    assert is_unusable_after(driver_error) is is_unusable


def test_a_connection_that_an_unknown_error_ended_is_down() -> None:
    error = DBAPIError("SELECT 1", None, of_postgresql("22001"), connection_invalidated=True)
    assert database_outage(error) is Outage.DOWN


@pytest.mark.parametrize(
    ("code", "outage"),
    [
        (sqlite3.SQLITE_BUSY, Outage.BUSY),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Outage.BUSY),
        (sqlite3.SQLITE_FULL, Outage.FULL),
        (sqlite3.SQLITE_READONLY_DBMOVED, Outage.READ_ONLY),
        (sqlite3.SQLITE_IOERR_FSYNC, Outage.DOWN),
        (sqlite3.SQLITE_ERROR, None),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, None),
    ],
)
def test_the_code_of_an_error_of_sqlite_names_the_outage(code: int, outage: Outage | None) -> None:
    error = sqlite3.OperationalError()
    error.sqlite_errorcode = code
    assert database_outage(OperationalError("SELECT 1", None, error)) is outage
    assert not is_unusable_after(error)


def test_an_error_that_the_driver_finds_is_an_outage_by_its_class() -> None:
    found = psycopg.Error("the connection is closed")
    for kind in (OperationalError, InterfaceError):
        assert database_outage(kind("SELECT 1", None, found)) is Outage.DOWN
    assert database_outage(DBAPIError("SELECT 1", None, found)) is None
    lost = DBAPIError("SELECT 1", None, found, connection_invalidated=True)
    assert database_outage(lost) is Outage.DOWN
    assert not is_unusable_after(found)


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (redis.exceptions.OutOfMemoryError("command not allowed"), Outage.FULL),
        (redis.ReadOnlyError("You can't write against a read only replica."), Outage.READ_ONLY),
        (redis.ResponseError("MISCONF Errors writing to the AOF file"), Outage.READ_ONLY),
        (redis.ResponseError("NOREPLICAS Not enough good replicas"), Outage.READ_ONLY),
        (redis.ResponseError("LOADING"), Outage.DOWN),
        (redis.ConnectionError(), Outage.DOWN),
    ],
)
def test_an_error_of_redis_names_the_outage(error: redis.RedisError, outage: Outage) -> None:
    assert redis_outage(error) is outage


def test_clients_get_a_sentence() -> None:
    assert {outage: database_sentence(outage) for outage in Outage} == {
        Outage.DOWN: "The database is not available at the moment.",
        Outage.READ_ONLY: "The database cannot be written to at the moment.",
        Outage.FULL: "The database cannot be written to at the moment.",
        Outage.BUSY: "The database is too busy at the moment.",
    }
