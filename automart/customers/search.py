"""Searching customers by a part of the name or e-mail address, in the order of their ids."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, Text, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.orm import aliased

from automart.core.db import db
from automart.customers.models import Customer
from automart.customers.search_text import normalize

# Reading this many rows takes less time than a common query takes with an index.
NEAR = 2_000
LONGEST_SHORT_PART = 2


def find_customers(query: str, last_id: int | None, count: int) -> Sequence[Customer]:
    """Return the first `count` customers after `last_id` that contain `query`."""
    part = normalize(query)
    after = last_id or 0
    if db.engine.dialect.name != "postgresql":
        return _all(in_order(part, after, count))
    # A common query fills its page from the next few rows, while an index would fetch and sort all
    # matches. For a rare query the index is better. PostgreSQL would have to guess, and a wrong
    # guess costs a scan of the table.
    customers = _all(near(part, after, count))
    return customers if len(customers) == count else _all(by_index(part, after, count))


def in_order(part: str, after: int, count: int) -> Select[Customer]:
    """Return a query that scans the table until enough rows match."""
    rows = select(Customer).where(Customer.id > after, _contains(part))
    return rows.order_by(Customer.id).limit(count)


def near(part: str, after: int, count: int) -> Select[Customer]:
    """Return a query of the matches among the next few rows."""
    rows = select(Customer).where(Customer.id > after).order_by(Customer.id).limit(NEAR)
    row = aliased(Customer, rows.subquery())
    matches = row.search_text.contains(part, autoescape=True)
    return select(row).where(matches).order_by(row.id).limit(count)


def by_index(part: str, after: int, count: int) -> Select[Customer]:
    """Return a query that uses the trigram index, or the index of short parts.

    Sorting by a sum keeps PostgreSQL from scanning the table in the order of the primary key.
    """
    is_short = 1 <= len(part) <= LONGEST_SHORT_PART
    matches = _contains_short_part(part) if is_short else _contains(part)
    rows = select(Customer).where(Customer.id > after, matches)
    return rows.order_by(Customer.id + 0).limit(count)


def _contains(part: str) -> ColumnElement[bool]:
    return Customer.search_text.contains(part, autoescape=True)


def _contains_short_part(part: str) -> ColumnElement[bool]:
    short_parts = func.short_parts(Customer.search_text, type_=ARRAY(Text))
    return short_parts.contains(cast(array([part]), ARRAY(Text)))


def _all(statement: Select[Customer]) -> Sequence[Customer]:
    return db.session.scalars(statement).all()
