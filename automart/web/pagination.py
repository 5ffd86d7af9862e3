"""Keyset pagination: the cursor contains the last key, so page 1,000 is as fast as page 1."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast
from urllib.parse import urlencode

from flask import Response, current_app, g, request
from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import Integer, Select, asc, bindparam, desc
from sqlalchemy.orm import InstrumentedAttribute

from automart.core.compiled_statement import CompiledStatement
from automart.core.db import Model, db, read, rows_of
from automart.core.errors import FIELDS_ARE_WRONG, Invalid
from automart.web.schemas import LARGEST_PAGE
from automart.web.urls import url_root


def paginate(
    statement: Select[Any],
    key: InstrumentedAttribute[Any],
    query: Mapping[str, Any],
    *,
    newest_first: bool = False,
) -> dict[str, Any]:
    """Return a page of `statement` in the order of `key`, which must be unique and never change.

    `query` is a loaded `PageQuery`. Raises `Invalid` for a cursor of another list.
    """

    def fetch(last: Any, count: int) -> Sequence[Any]:
        if statement is rows_of(_model_of(key)):
            parameters = {"count": count} if last is None else {"count": count, "last": last}
            return read(page_of_all(key, newest_first, last is not None), **parameters)
        rows = _page(statement, key, newest_first, last)
        found = db.session.execute(rows.limit(count))
        is_entity = len(found.keys()) == 1
        return list(found.scalars() if is_entity else found)

    return paginate_by(fetch, key, query)


@cache
def page_of_all(
    key: InstrumentedAttribute[Any], newest_first: bool, is_continued: bool
) -> CompiledStatement:
    """Return what reads a page of a whole table: `count` rows, after `last` if it is continued."""
    last = bindparam("last", type_=key.type) if is_continued else None
    page = _page(rows_of(_model_of(key)), key, newest_first, last)
    return CompiledStatement(page.limit(bindparam("count", type_=Integer)))


def _model_of(key: InstrumentedAttribute[Any]) -> type[Model]:
    return cast("type[Model]", key.class_)


def _page(
    statement: Select[Any], key: InstrumentedAttribute[Any], newest_first: bool, last: Any
) -> Select[Any]:
    (column,) = key.property.columns  # the attribute would make it a query of entities
    if last is not None:
        statement = statement.where(column < last if newest_first else column > last)
    return statement.order_by(desc(column) if newest_first else asc(column))


def paginate_by(
    fetch: Callable[[Any, int], Sequence[Any]],
    key: InstrumentedAttribute[Any],
    query: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a page like `paginate`, for lists that a single statement cannot find.

    `fetch(last, count)` returns, in order, the first `count` rows with keys after `last`. None is
    the start of the list.
    """
    limit = min(query["limit"], LARGEST_PAGE)
    serializer = _serializer(query)
    cursor = query["cursor"]
    last = None if cursor is None else _value(key, _load(serializer, cursor))
    rows = fetch(last, limit + 1)
    if len(rows) <= limit:
        return {"items": rows, "next_cursor": None}
    items = rows[:limit]
    cursor = serializer.dumps(str(getattr(items[-1], key.key)))
    g.next_cursor = cursor
    return {"items": items, "next_cursor": cursor}


def link_to_next_page(response: Response) -> Response:
    """Add the `Link` to the next page (RFC 8288)."""
    cursor = g.get("next_cursor")
    if cursor is not None and response.status_code == 200:
        query = urlencode(request.args.to_dict() | {"cursor": cursor})
        here = url_root() + request.script_root + request.path
        response.headers.add("Link", f'<{here}?{query}>; rel="next"')
    return response


def _serializer(query: Mapping[str, Any]) -> URLSafeSerializer:
    """Return a serializer for cursors. They are signed for this list with these filters only."""
    filters = {name: str(value) for name, value in query.items() if name not in ("limit", "cursor")}
    salt = f"cursor {request.path} {sorted(filters.items())}"
    return URLSafeSerializer(current_app.secret_key or "", salt=salt)


def _load(serializer: URLSafeSerializer, cursor: str) -> str:
    try:
        return str(serializer.loads(cursor))
    except BadData:
        error = {"detail": "Not a cursor of this list with these filters.", "parameter": "cursor"}
        raise Invalid(FIELDS_ARE_WRONG, errors=[error]) from None


def _value(key: InstrumentedAttribute[Any], text: str) -> int | uuid.UUID | datetime:
    kind = key.type.python_type
    return datetime.fromisoformat(text) if kind is datetime else kind(text)
