"""Lists that are a union of parts, each of which an index finds in the order of its key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, asc, desc, false, select, union_all
from sqlalchemy.orm import InstrumentedAttribute


def among_first(
    key: InstrumentedAttribute[Any],
    parts: Sequence[Select[Any]],
    count: int,
    *,
    newest_first: bool = False,
) -> ColumnElement[bool]:
    """Return the condition that a row is among the first `count` rows of one of `parts`.

    `parts` select the key, without an order, and may overlap. One query for all parts would have to
    read and sort all of their rows.
    """
    if not parts:
        return false()
    order = desc(key) if newest_first else asc(key)
    firsts = [part.order_by(order).limit(count).subquery() for part in parts]
    keys = union_all(*(select(first.c[key.key]) for first in firsts)).subquery()
    return key.in_(select(keys.c[key.key]))
