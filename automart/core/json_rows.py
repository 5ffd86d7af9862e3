"""Rows that a statement takes from one parameter in JSON: one statement for any number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, FromClause, TableValuedAlias, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine


def json_rows(dialect: str, name: str, columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """Return the rows of the parameter `name`, a list of objects with these keys."""
    if dialect == "postgresql":
        typed = [column(key, of_type) for key, of_type in columns.items()]
        rows = func.jsonb_to_recordset(bindparam(name, type_=JSONB))
        found: TableValuedAlias = rows.table_valued(*typed, name=name)
        return found.render_derived(with_types=True)
    each = func.json_each(bindparam(name, type_=JSON)).table_valued("value", name="each")
    values = [
        func.json_extract(each.c.value, f"$.{key}", type_=of_type).label(key)
        for key, of_type in columns.items()
    ]
    return select(*values).select_from(each).subquery(name)
