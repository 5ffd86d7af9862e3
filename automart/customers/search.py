"""Finding customers by parts of their names and addresses, in order of id."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import aliased

from automart.customers.folding import unaccented
from automart.customers.models import Customer
from automart.db import db

# So many rows are looked through in less time than the trigram index needs for a common query.
NEAR = 2_000


def find(query: str, last_id: int | None, count: int) -> Sequence[Customer]:
    """The first `count` customers after `last_id` that `query` is a part of."""
    folded = unaccented(query)
    after = last_id or 0
    if db.engine.dialect.name != "postgresql":
        return _all(in_order(folded, after, count))
    # A common query has its page among the next few rows, where by the index all of the many rows
    # that it finds would be fetched and sorted. For a rare one it is the other way round. Left to
    # itself, PostgreSQL guesses which it is, and a wrong guess costs a walk through the table.
    found = _all(near(folded, after, count))
    return found if len(found) == count else _all(by_trigrams(folded, after, count))


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


def by_trigrams(folded: str, after: int, count: int) -> Select[Customer]:
    """By the trigram index. The sum keeps PostgreSQL from the order of the primary key."""
    rows = select(Customer).where(Customer.id > after, _has(folded))
    return rows.order_by(Customer.id + 0).limit(count)


def _has(folded: str) -> ColumnElement[bool]:
    return Customer.search_text.contains(folded, autoescape=True)


def _all(statement: Select[Customer]) -> Sequence[Customer]:
    return db.session.scalars(statement).all()
