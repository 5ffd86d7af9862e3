"""The points of a factory's chart: how they are added, and how a part of them is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, func, insert, literal, select, text

from automart.core.db import db, utcnow
from automart.production.charts.downsampling import Point, merge_buckets, plan_ranges
from automart.production.charts.queries import EXTREMES, downsample, pack
from automart.production.models import (
    POINTS_PER_BLOCK,
    ChartBlock,
    ChartData,
    ChartPoint,
    Factory,
)


class Span(NamedTuple):
    """A part of a factory's chart, by the numbers of its first and last point."""

    factory_id: int
    first: int
    last: int


def add_point(factory: Factory, *, at: int | None = None) -> None:
    """Add a point with the present goal and count. The factory's row must be locked.

    `at` is in epoch seconds, now by default. If the clock was set back, the point has the time of
    the previous one.
    """
    number = factory.chart_length
    time = int(utcnow().timestamp()) if at is None else at
    if number:
        previous = (ChartPoint.factory_id == factory.id, ChartPoint.number == number - 1)
        time = max(time, db.session.scalars(select(ChartPoint.time).where(*previous)).one())
    point = ChartPoint(
        factory_id=factory.id,
        number=number,
        time=time,
        goal=factory.sprocket_production_goal,
        actual=factory.sprocket_production_actual,
    )
    db.session.add(point)
    factory.chart_length = number + 1
    db.session.flush()
    if factory.chart_length % POINTS_PER_BLOCK == 0:
        add_blocks(factory.id, number // POINTS_PER_BLOCK, number // POINTS_PER_BLOCK)


def add_blocks(factory_id: int, first: int, last: int) -> None:
    """Store the extremes of the blocks `first` to `last`, of which all points are stored."""
    block = ChartPoint.number // POINTS_PER_BLOCK
    actual, goal = pack(ChartPoint.actual), pack(ChartPoint.goal)
    extremes = (
        select(
            literal(factory_id, BigInteger),
            block,
            func.min(actual),
            func.max(actual),
            func.min(goal),
            func.max(goal),
        )
        .where(
            ChartPoint.factory_id == factory_id,
            ChartPoint.number >= first * POINTS_PER_BLOCK,
            ChartPoint.number < (last + 1) * POINTS_PER_BLOCK,
        )
        .group_by(block)
    )
    columns = ["factory_id", "number", *EXTREMES]
    db.session.execute(insert(ChartBlock).from_select(columns, extremes))


def full_span(factory: Factory) -> Span:
    """Return the span of all points that existed when `factory` was read."""
    return Span(factory.id, 0, factory.chart_length - 1)


def find_span(factory: Factory, start: datetime | None, end: datetime | None) -> Span:
    """Return the span of the points from `start` to `end`, both included."""
    first, last = 0, factory.chart_length - 1
    if start is not None:
        later = _numbers(factory, ChartPoint.time >= math.ceil(start.timestamp()))
        found = db.session.scalar(later.order_by(ChartPoint.time, ChartPoint.number).limit(1))
        first = last + 1 if found is None else found
    if end is not None:
        earlier = _numbers(factory, ChartPoint.time <= math.floor(end.timestamp()))
        found = db.session.scalar(
            earlier.order_by(ChartPoint.time.desc(), ChartPoint.number.desc()).limit(1)
        )
        last = -1 if found is None else min(last, found)
    return Span(factory.id, first, last)


def read_charts(spans: Sequence[Span], limit: int) -> Mapping[int, list[Point]]:
    """Return the points of each span by factory, downsampled to `limit`.

    This is one query for all of them. However long the charts are, it fetches only about twice as
    many rows as are returned.
    """
    ranges = [
        (span.factory_id, planned)
        for span in spans
        for planned in plan_ranges(span.first, span.last, limit)
    ]
    charts: dict[int, list[Point]] = {span.factory_id: [] for span in spans}
    if not ranges:
        return charts
    if db.engine.dialect.name == "postgresql":
        # PostgreSQL may overestimate the query, and would then spend seconds compiling it.
        db.session.execute(text("SET LOCAL jit = off"))
    rows = db.session.execute(downsample(ranges))
    for factory_id, rows_of_factory in groupby(rows, attrgetter("factory_id")):
        by_bucket = groupby(rows_of_factory, attrgetter("bucket"))
        buckets = [[Point(*row[2:]) for row in bucket] for _, bucket in by_bucket]
        charts[factory_id] = merge_buckets(buckets, limit)
    return charts


def chart_data(points: Iterable[Point]) -> ChartData:
    """Return `points` as clients see them."""
    data = ChartData(sprocket_production_actual=[], sprocket_production_goal=[], time=[])
    for point in points:
        data["sprocket_production_actual"].append(point.actual)
        data["sprocket_production_goal"].append(point.goal)
        data["time"].append(point.time)
    return data


def _numbers(factory: Factory, condition: ColumnElement[bool]) -> Select[int]:
    return select(ChartPoint.number).where(ChartPoint.factory_id == factory.id, condition)
