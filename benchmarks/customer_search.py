"""Searching among 10,000 and among 1,000,000 customers, on PostgreSQL.

`python -m benchmarks customer_search [ROWS …]`
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import flask_migrate
from sqlalchemy import text
from sqlalchemy.dialects import postgresql as dialect
from sqlalchemy.engine import URL

from automart import create_app
from automart.core.db import db, utcnow
from automart.customers import search
from automart.customers.search_text import normalize, search_text
from tests.support import postgresql
from tests.support.setup import make_settings

SIZES = (10_000, 1_000_000)
ROUNDS = 15
PAGE = 51
SYLLABLES = "an jo ha ma ri el so li ka to mi na be ra lu do pe ta vi mo sa no er is al en ne ro wa"
CJK = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂"
QUERIES = {
    "common, 1 letter": "a",
    "common, 2 letters": "an",
    "common, 3 letters": "ann",
    "common, in e-mails": "example",
    "rare: one customer": "zoë quinn-",
    "rare: 0.05 %": "xaver",
    "all at the end": "imported",
    "absent, 6 letters": "qwfpgj",
    "absent, of common parts": "annajohamari",
    "absent, 3 letters": "qxq",
    "absent, 2 letters": "qx",
    "Chinese, 2 characters": "王伟",
    "Chinese, absent": "鑫鑫鑫",
}


def main(*arguments: str) -> None:
    """Fill a database of each size and print the median time and the plan of each query."""
    sizes = [int(size) for size in arguments] or list(SIZES)
    with tempfile.TemporaryDirectory() as folder, postgresql.server() as server:
        times: dict[int, dict[str, tuple[float, str]]] = {}
        for size in sizes:
            database = postgresql.create_database(server, template="template0")
            times[size] = measure(database, size, Path(folder))
            postgresql.drop_database(server, database)
    heading = "".join(f"{size:>14,} rows" for size in sizes)
    print(f"{'milliseconds for a page of 50':32}{heading}")
    for name in QUERIES:
        row = "".join(f"{times[s][name][0]:>11.1f} {times[s][name][1]:<7}" for s in sizes)
        print(f"{name:32}{row}")


def measure(database: URL, size: int, folder: Path) -> dict[str, tuple[float, str]]:
    url = database.render_as_string(hide_password=False)
    app = create_app(make_settings(url, instance=folder))
    with app.app_context():
        flask_migrate.upgrade()
        began = time.perf_counter()
        fill(database, size)
        print(f"{size:,} customers written in {time.perf_counter() - began:.0f} s", flush=True)
        found = {name: timed(query) for name, query in QUERIES.items()}
        db.session.remove()
        db.engine.dispose()
    return found


def fill(database: URL, size: int) -> None:
    """Add customers with names of realistic letters. The last tenth is from one import."""
    now = utcnow()
    with postgresql.connected(database) as connection:
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY customer (first_name, last_name, email, search_text, created_at, updated_at)"
                " FROM STDIN"
            ) as copy,
        ):
            for first, last, email in people(size):
                copy.write_row((first, last, email, search_text(first, last, email), now, now))
        connection.execute("VACUUM ANALYZE customer")


def people(size: int) -> Iterator[tuple[str, str, str]]:
    dice = random.Random(1)
    syllables = SYLLABLES.split()
    for number in range(size):
        first = "".join(dice.choices(syllables, k=2)).title()
        last = "".join(dice.choices(syllables, k=3)).title()
        if number % 2000 == 1234:
            first = "Xaver"
        if number % 100 == 99:
            first, last = "".join(dice.choices(CJK, k=2)), dice.choice(CJK)
        if number == size * 3 // 4:
            first, last = "Zoë", "Quinn-Ångström"
        if number > size * 9 // 10:
            last = f"{last} (imported)"
        yield first, last, f"{normalize(first)}.{number}@example.com"


def timed(query: str) -> tuple[float, str]:
    """Return the median time in milliseconds and the index that finds the page."""
    found = search.find_customers(query, None, PAGE)
    times = []
    for _ in range(ROUNDS):
        db.session.rollback()
        db.session.expunge_all()
        began = time.perf_counter()
        search.find_customers(query, None, PAGE)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), how(query, len(found))


def how(query: str, found: int) -> str:
    folded = normalize(query)
    if len(db.session.scalars(search.near(folded, 0, PAGE)).all()) == PAGE:
        return "near"
    statement = search.by_index(folded, 0, PAGE).compile(
        dialect=dialect.dialect(), compile_kwargs={"literal_binds": True}
    )
    plan = "\n".join(db.session.scalars(text(f"EXPLAIN {str(statement).replace('%%', '%')}")))
    if "ix_customer_s" in plan:
        return "index"
    return "scan" if "Seq Scan" in plan else "?"
