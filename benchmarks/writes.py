"""Bookings and sales accepted per second beside a bare INSERT per transaction.

One web process, as many connections on both sides, and a database that waits for the disk.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask

from automart.core.config import Settings
from automart.core.db import db
from benchmarks.comparison import Comparison, Size, alternately
from benchmarks.support import databases, serving_redis
from tests.support.inventory import booking_body, day, make_car
from tests.support.people import make_user, token_of
from tests.support.purchases import client_of, ensure_catalogue, make_office, sale
from tests.support.setup import application, make_settings
from tests.support.web import web_running

CONNECTIONS = 8
TABLE = "CREATE TABLE IF NOT EXISTS bare (id {key}, first TEXT, second TEXT, third INTEGER)"
INSERT = "INSERT INTO bare (first, second, third) VALUES ('a customer', 'an order', 7)"
REFERENCE = "bare INSERT per transaction"

_numbers = itertools.count(1)


def compare(size: Size) -> Iterator[Comparison]:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving_redis(Path(folder)) as redis_url,
        databases(size.database) as found,
    ):
        for name, url in found:
            settings = make_settings(url, redis_url=redis_url, instance=Path(folder))
            with application(settings) as app, app.app_context():
                yield from _comparisons(name, app, settings, size)


def _comparisons(database: str, app: Flask, settings: Settings, size: Size) -> Iterator[Comparison]:
    ensure_catalogue()
    bookings = Sender("/v1/bookings", token_of(app, make_user()), 201, partial(booking_of, _cars()))
    sales = Sender("/v1/sales-webhook", token_of(app, client_of(make_office())), 202, sale_of)
    db.session.remove()
    bare = bare_sqlite if database == "SQLite" else bare_postgresql
    insert = partial(bare, settings.database_url, size.jobs)
    with web_running(settings, processes=1) as url:
        for what, sender in (("bookings accepted", bookings), ("sales accepted", sales)):
            pairs = alternately(partial(sender.rate, url, size.jobs), insert, size.rounds)
            yield Comparison(what, database, REFERENCE, "/s", 0.3, pairs)


class Sender:
    """Sends requests over connections that are kept open."""

    def __init__(self, path: str, token: str, status: int, body: Callable[[int], Any]) -> None:
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._path, self._status, self._body = path, status, body

    def rate(self, url: str, count: int) -> float:
        """Send `count` requests. Return how many were accepted per second."""
        share = count // CONNECTIONS
        return per_second(lambda: self._send(url, share), share)

    def _send(self, url: str, count: int) -> None:
        with closing(http.client.HTTPConnection(url.removeprefix("http://"))) as connection:
            for _ in range(count):
                body = json.dumps(self._body(next(_numbers)))
                connection.request("POST", self._path, body, self._headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != self._status:
                    raise SystemExit(f"{answer.status} {text!r}")


def bare_sqlite(url: str, count: int) -> float:
    path = url.removeprefix("sqlite:///") + ".bare"
    with closing(_sqlite(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(TABLE.format(key="INTEGER PRIMARY KEY"))
    share = count // CONNECTIONS

    def insert() -> None:
        with closing(_sqlite(path)) as connection:
            for _ in range(share):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(INSERT)
                connection.execute("COMMIT")

    return per_second(insert, share)


def _sqlite(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def bare_postgresql(url: str, count: int) -> float:
    address = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(TABLE.format(key="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"))
    share = count // CONNECTIONS

    def insert() -> None:
        with psycopg.connect(address) as connection:
            for _ in range(share):
                connection.execute(INSERT)
                connection.commit()

    return per_second(insert, share)


def per_second(work: Callable[[], None], share: int) -> float:
    """Do the work over all connections at once, `share` times in each. Return the rate."""
    began = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for each in [pool.submit(work) for _ in range(CONNECTIONS)]:
            each.result()
    return CONNECTIONS * share / (time.perf_counter() - began)


def _cars() -> list[int]:
    return [make_car().id for _ in range(20)]


def booking_of(cars: list[int], number: int) -> Any:
    start = day(number // len(cars))
    return booking_body(cars[number % len(cars)], start, start + timedelta(hours=20))


def sale_of(number: int) -> Any:
    return sale(f"order {number}")
