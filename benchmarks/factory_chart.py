"""Time and memory of a downsampled chart of 10,000 and of 1,000,000 points."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from automart import create_app
from automart.core.db import db
from automart.production.models import Factory
from tests.support import charts, people, postgresql
from tests.support.setup import make_settings, migrate

SIZES = (10_000, 1_000_000)
TIMES = 20


def main() -> None:
    """Measure on SQLite, and on PostgreSQL if it is installed, and print a table."""
    table = Table("database", "points", "request", "median ms", "slowest ms", "peak KiB")
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", f"sqlite:///{folder}/charts.sqlite", Path(folder), table)
        try:
            with postgresql.server() as server:
                database = postgresql.create_database(server)
                url = database.render_as_string(hide_password=False)
                measure("PostgreSQL", url, Path(folder), table)
                postgresql.drop_database(server, database)
        except postgresql.Unavailable as reason:
            print(f"Not measured on PostgreSQL: {reason}")
    Console(width=110).print(table)


def measure(database: str, url: str, instance: Path, table: Table) -> None:
    """Add a row to `table` for each request and size, measured through the whole application."""
    logging.disable()  # logging each request would distort the measurement
    migrate(url, instance)
    app = create_app(make_settings(url, instance=instance))
    with app.app_context():
        client = people.signed_in(app, people.make_user())
        factories = {count: _factory_with(count) for count in SIZES}
        db.session.execute(text("ANALYZE"))
        db.session.commit()
        for count, factory in factories.items():
            span = 7 * count
            start = f"{_rfc3339(charts.BEGAN + span // 3)}&to={_rfc3339(charts.BEGAN + span // 2)}"
            for name, path in {
                "chart": f"/v1/factories/{factory.id}/chart",
                "a sixth of it": f"/v1/factories/{factory.id}/chart?from={start}",
                "with_chart_data": f"/v1/factories/{factory.id}?with_chart_data=true",
            }.items():

                def ask(path: str = path) -> None:
                    response = client.get(path)
                    assert response.status_code == 200

                table.add_row(database, f"{count:,}", name, *_figures(ask))
        db.session.remove()
        db.engine.dispose()


def _factory_with(count: int) -> Factory:
    factory = charts.make_factory(f"{count:,} points")
    charts.fill(factory, count)
    return factory


def _figures(ask: Callable[[], None]) -> tuple[str, str, str]:
    ask()
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - began) * 1000)
    tracemalloc.start()
    ask()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return f"{statistics.median(taken):.1f}", f"{max(taken):.1f}", f"{peak / 1024:,.0f}"


def _rfc3339(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


if __name__ == "__main__":
    main()
