"""Marks of tests that need only one database, because what they test does not depend on it."""

from __future__ import annotations

import os

import pytest

from tests.support import postgresql

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def _is_postgresql_here() -> bool:
    if os.environ.get("TEST_DATABASE_URL") or os.environ.get("REQUIRE_POSTGRESQL"):
        return True
    try:
        postgresql.programs()
    except postgresql.Unavailable:
        return False
    return True


# For tests that look for faults at random: PostgreSQL is the stricter one, and truly concurrent.
on_postgresql_if_installed = on_postgresql if _is_postgresql_here() else on_sqlite
