"""Factories with a long history, stored in bulk, for tests and benchmarks of charts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, text

from automart.core.db import db, transaction
from automart.production.charts import series
from automart.production.models import POINTS_PER_BLOCK, ChartPoint, Factory, Location

BEGAN = 1_700_000_000

# Up and down between 0 and 10,000, one at a time, every seven seconds; now and then a new goal.
# Both databases understand it.
_FILL = text(
    """
    INSERT INTO chart_point (factory_id, number, time, goal, actual)
    WITH RECURSIVE counted (n) AS (
        SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :count
    )
    SELECT :factory_id, n, :began + n * 7, 8000 + n / 30000 * 250,
        CASE WHEN n % 20000 < 10000 THEN n % 20000 ELSE 20000 - n % 20000 END
    FROM counted
    """
)


def make_factory(name: str = "Works") -> Factory:
    """A stored factory, with a location of its own, and without any points."""
    location = Location(
        name=name, address_1="1 Road", city="Leeds", postal_code="LS1 1AA", country_code="GB"
    )
    factory = Factory(name=name, location=location, sprocket_production_goal=0)
    with transaction():
        db.session.add(factory)
    return factory


def fill(factory: Factory, count: int) -> None:
    """Give an empty chart `count` points."""
    with transaction():
        values = {"factory_id": factory.id, "count": count, "began": BEGAN}
        db.session.execute(_FILL, values)
        _finish(factory, count)


def store(factory: Factory, points: Sequence[tuple[int, int, int]]) -> None:
    """Add these points (time, goal, actual) to an empty chart."""
    rows = [
        {"factory_id": factory.id, "number": number, "time": time, "goal": goal, "actual": actual}
        for number, (time, goal, actual) in enumerate(points)
    ]
    with transaction():
        db.session.execute(insert(ChartPoint), rows)
        _finish(factory, len(points))


def _finish(factory: Factory, count: int) -> None:
    if count >= POINTS_PER_BLOCK:
        series.add_blocks(factory.id, 0, count // POINTS_PER_BLOCK - 1)
    factory.chart_length = count
