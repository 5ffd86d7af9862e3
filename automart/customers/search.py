"""Finding customers by parts of their names and addresses, in order of id."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, Text, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.orm import aliased

from automart.core.db import db
from automart.customers.folding import unaccented
from automart.customers.models import Customer

# So many rows are looked through in less time than an index needs for a common query.
NEAR = 2_000
LONGEST_SHORT_PART = 2


def find(query: str, last_id: int | None, count: int) -> Sequence[Customer]:
    """The first `count` customers after `last_id` that `query` is a part of."""
    folded = unaccented(query)
    after = last_id or 0
    if db.engine.dialect.name != "postgresql":
        return _all(in_order(folded, after, count))
    # A common query has its page among the next few rows, where by an index all of the many rows
    # that it finds would be fetched and sorted. For a rare one it is the other way round. Left to
    # itself, PostgreSQL guesses which it is, and a wrong guess costs a walk through the table.
    found = _all(near(folded, after, count))
    return found if len(found) == count else _all(by_index(folded, after, count))


def in_order(folded: str, after: int, count: int) -> Select[Customer]:
    """Through the table until enough are found."""
    rows = select(Customer).where(Customer.id > after, _has(folded))
    return rows.order_by(Customer.id).limit(count)


def near(folded: str, after: int, count: int) -> Select[Customer]:
    """Those among the next few rows."""
    rows = select(Customer).where(Customer.id > after).order_by(Customer.id).limit(NEAR)
    row = aliased(Customer, rows.subquery())
    matches = row.search_text.contains(folded, autoescape=True)
    return select(row).where(matches).order_by(row.id).limit(count)


def by_index(folded: str, after: int, count: int) -> Select[Customer]:
    """By the trigram index, or by that of short parts. The sum keeps PostgreSQL from going through
    the table in the order of the primary key."""
    is_short = 1 <= len(folded) <= LONGEST_SHORT_PART
    matches = _has_short_part(folded) if is_short else _has(folded)
    rows = select(Customer).where(Customer.id > after, matches)
    return rows.order_by(Customer.id + 0).limit(count)


def _has(folded: str) -> ColumnElement[bool]:
    return Customer.search_text.contains(folded, autoescape=True)


def _has_short_part(folded: str) -> ColumnElement[bool]:
    short_parts = func.short_parts(Customer.search_text, type_=ARRAY(Text))
    return short_parts.contains(cast(array([folded]), ARRAY(Text)))


def _all(statement: Select[Customer]) -> Sequence[Customer]:
    return db.session.scalars(statement).all()
