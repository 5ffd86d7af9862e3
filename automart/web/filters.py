"""Filters of lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute

from automart.core.db import SelectT


def where_given(statement: SelectT, filters: Mapping[InstrumentedAttribute[Any], Any]) -> SelectT:
    """Return `statement` for rows that have the values of `filters`; None means "any value"."""
    given = [column == value for column, value in filters.items() if value is not None]
    return statement.where(*given) if given else statement
