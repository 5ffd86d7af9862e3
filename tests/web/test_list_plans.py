"""Indexes serve every list and every filter, so that all pages of a large table cost the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from automart.core.db import db
from tests.support import people, purchases
from tests.support.databases import on_sqlite
from tests.support.inventory import HONDA

VALUES = {
    "name": "Honda",
    "brand": "Honda",
    "model": "Civic",
    "year": 2024,
    "q": "ann",
    "max_daily_price": 50,
    "start_datetime": "2090-01-01T00:00:00Z",
    "end_datetime": "2090-01-02T00:00:00Z",
    "customer_email": "zoe@example.com",
    "postal_code": "80331",
    "subject": "user:1",
    "applied": "false",
    "sync_id": "01890000-0000-7000-8000-000000000000",
}
MAY_SORT = {
    "/v1/users/me/sessions": "a user has few",
    "/v1/bookings": "a range sorts what indexes find, unless the next few rows fill the page",
}
NO_FILTERS = ("limit", "cursor", "with_chart_data")
OF_PARTNERS = ("/jobs", "/v1/purchases", "/v1/get-all-vehicles-for-manufacturing/{brand}")

Statement = tuple[str, Any]


@on_sqlite
def test_indexes_serve_every_list_and_every_filter(app: Flask) -> None:
    purchases.ensure_catalogue()
    callers = [
        people.signed_in(app, people.make_user(is_admin=True)),
        people.signed_in(app, purchases.client_of(purchases.make_office())),
        people.signed_in(app, purchases.client_of(purchases.make_manufacturer(HONDA))),
        people.signed_in(app, people.make_client("catalogue")),
    ]
    document = callers[0].get("/openapi.json").get_json()
    checked = 0
    for path, filters in _lists(document):
        for query in _queries(filters):
            for client in callers if path in OF_PARTNERS else callers[:1]:
                for statement in _pages(client, path, query):
                    plan = _plan(statement)
                    assert not _faults(path, plan, is_filtered=bool(query)), (path, query, plan)
                    checked += 1
    assert checked > 50


def _lists(document: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the paths of lists, and their filters."""
    for path, item in document["paths"].items():
        parameters = item.get("get", {}).get("parameters", [])
        if any(parameter.get("name") == "cursor" for parameter in parameters):
            of_query = [p for p in parameters if p.get("in") == "query"]
            yield path, [p for p in of_query if p["name"] not in NO_FILTERS]


def _queries(filters: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield queries with no filter, with each filter, and with all that are about times."""
    required = {f["name"]: _value(f) for f in filters if f.get("required")}
    yield required
    for each in filters:
        yield required | {each["name"]: _value(each)}
    yield required | {f["name"]: _value(f) for f in filters if f["name"].endswith("_datetime")}


def _value(parameter: Any) -> Any:
    schema = parameter["schema"]
    if schema.get("format") == "uuid":
        return uuid.UUID(int=0)
    if schema.get("type") == "boolean":
        return "true"
    return VALUES.get(parameter["name"], schema.get("enum", [1])[-1])


def _pages(client: FlaskClient, path: str, query: dict[str, Any]) -> list[Statement]:
    """Return the statements that find the page, none if the client may not read it."""
    statements: list[Statement] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    url = path.format(make_id=HONDA, brand="Honda")
    event.listen(db.engine, "before_cursor_execute", note)
    try:
        response = client.get(url, query_string=query)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert response.status_code in (200, 403, 404), (path, query, response.text)
    return [each for each in statements if "LIMIT" in each[0]]


def _plan(statement: Statement) -> list[str]:
    with db.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement[0]}", statement[1])
        return [row[-1] for row in rows]


def _faults(path: str, plan: list[str], *, is_filtered: bool) -> list[str]:
    tables = db.metadata.tables
    scans = [f"SCAN {table}" for table in tables] if is_filtered else []
    sorts = [] if path in MAY_SORT else ["USE TEMP B-TREE"]
    return [step for step in plan if step.startswith((*scans, *sorts))]
