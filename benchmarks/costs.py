"""Processor time of a request without the server, and of the job that records a sale.

`python -m benchmarks costs [TIMES]` prints milliseconds on each database, medians of five rounds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from werkzeug.test import EnvironBuilder

from automart.background import Job, JobState
from automart.core.db import db, transaction
from automart.customers.service import create_customers
from benchmarks.support import databases, partners_app
from benchmarks.writes import booking_of, sale_of
from jobs import runner
from tests.support.inventory import make_car
from tests.support.people import make_user, token_of
from tests.support.purchases import client_of, ensure_catalogue, make_office

ROUNDS = 5
CUSTOMERS = 10_000

Work = Callable[[], object]


def main(times: str = "100") -> None:
    table = Table("milliseconds of processor time")
    columns = []
    with databases() as found:
        for database, url in found:
            table.add_column(database)
            with tempfile.TemporaryDirectory() as folder, partners_app(url, Path(folder)) as parts:
                columns.append(_costs(parts[0], int(times)))
    for what in columns[0]:
        table.add_row(what, *(f"{column[what]:.2f}" for column in columns))
    Console().print(table)


def _costs(app: Flask, times: int) -> dict[str, float]:
    ensure_catalogue()
    with transaction():
        names = [{"first_name": f"First{n}", "last_name": "Last"} for n in range(CUSTOMERS)]
        create_customers([name | {"email": None, "phone": None} for name in names])
    user, office = token_of(app, make_user()), token_of(app, client_of(make_office()))
    cars = [make_car().id for _ in range(20)]
    db.session.remove()
    get, post = partial(_request, app, user, 200), partial(_request, app, user, 201)
    accept = partial(_request, app, office, 202)
    sales = partial(_each, lambda n: accept("/v1/sales-webhook", sale_of(n)))
    return {
        "read a customer": _median(_each(lambda n: get(f"/v1/customers/{n}")), times),
        "list of 50 customers": _median(_each(lambda _: get("/v1/customers?limit=50")), times),
        "booking": _median(_each(lambda n: post("/v1/bookings", booking_of(cars, n))), times),
        "sale, accepted": _median(sales(), times),
        "sale, recorded by the worker": _median(_recordings(), times),
    }


def _each(prepare: Callable[[int], Work]) -> Iterator[Work]:
    """Yield prepared work, with other numbers in each."""
    number = 1
    while True:
        yield prepare(number)
        number += 1


def _request(app: Flask, token: str, status: int, path: str, body: Any = None) -> Work:
    """Return a function that makes the application respond to a request."""
    method = "GET" if body is None else "POST"
    headers = {"Authorization": f"Bearer {token}"}
    builder = EnvironBuilder(path=path, method=method, headers=headers, json=body)
    environ = builder.get_environ()

    def respond() -> None:
        statuses: list[str] = []
        # A server returns a function to write with, which this application never calls.
        response = app.wsgi_app(environ, lambda line, *_: statuses.append(line))  # type: ignore[arg-type,func-returns-value]
        text = b"".join(response)
        if not statuses[0].startswith(str(status)):
            raise RuntimeError(f"{statuses[0]}: {text!r}")

    return respond


def _recordings() -> Iterator[Work]:
    waiting = db.session.scalars(select(Job.id).where(Job.state == JobState.QUEUED)).all()
    db.session.rollback()
    for job_id in waiting:
        yield partial(runner.run, str(job_id))


def _median(work: Iterator[Work], times: int) -> float:
    """Return the median milliseconds of processor time. The first `times` do not count."""
    rounds = []
    for _ in range(ROUNDS + 1):
        prepared = [next(work) for _ in range(times)]
        began = time.process_time()
        for each in prepared:
            each()
        rounds.append((time.process_time() - began) / times * 1000)
    return statistics.median(rounds[1:])
