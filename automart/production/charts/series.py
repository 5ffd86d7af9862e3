"""The chart of a factory: how points come to it, and how it is read, thinned by the database."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    case,
    column,
    func,
    literal,
    select,
    text,
    true,
    union,
    union_all,
    values,
)
from sqlalchemy import insert as plain_insert

from automart.core.db import db, utcnow
from automart.production.charts.downsampling import Point, Stretch, fit, stretches
from automart.production.models import (
    POINTS_OF_A_BLOCK,
    ChartBlock,
    ChartData,
    ChartPoint,
    Factory,
)

# A value and the number of its point in one integer, which sorts by the value: `min` and `max`
# of these tell which point it was, in one pass and on both databases. Room for 2^30 sprockets
# (`MOST_SPROCKETS` is less) and 2^33 points.
_ROOM = literal(2**33, BigInteger)

EXTREMES = ("lowest_actual", "highest_actual", "lowest_goal", "highest_goal")


class Span(NamedTuple):
    """A part of a factory's chart, by the numbers of its first and last point."""

    factory_id: int
    first: int
    last: int


def record(factory: Factory, *, at: int | None = None) -> None:
    """Add a point: goal and count as they are now. The factory's row must be locked.

    `at` is in epoch seconds. A clock that was set back does not turn back the chart's time.
    """
    number = factory.chart_length
    time = int(utcnow().timestamp()) if at is None else at
    if number:
        before = (ChartPoint.factory_id == factory.id, ChartPoint.number == number - 1)
        time = max(time, db.session.scalars(select(ChartPoint.time).where(*before)).one())
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
    if factory.chart_length % POINTS_OF_A_BLOCK == 0:
        add_blocks(factory.id, number // POINTS_OF_A_BLOCK, number // POINTS_OF_A_BLOCK)


def add_blocks(factory_id: int, first: int, last: int) -> None:
    """Store the extremes of these blocks, whose points are all stored."""
    block = ChartPoint.number // POINTS_OF_A_BLOCK
    actual, goal = _packed(ChartPoint.actual), _packed(ChartPoint.goal)
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
            ChartPoint.number >= first * POINTS_OF_A_BLOCK,
            ChartPoint.number < (last + 1) * POINTS_OF_A_BLOCK,
        )
        .group_by(block)
    )
    columns = ["factory_id", "number", *EXTREMES]
    db.session.execute(plain_insert(ChartBlock).from_select(columns, extremes))


def whole(factory: Factory) -> Span:
    """The span of all points that there were when `factory` was read."""
    return Span(factory.id, 0, factory.chart_length - 1)


def between(factory: Factory, start: datetime | None, end: datetime | None) -> Span:
    """The span of the points from `start` to `end`, both included."""
    first, last = 0, factory.chart_length - 1
    if start is not None:
        later = _in_time(factory, ChartPoint.time >= math.ceil(start.timestamp()))
        found = db.session.scalar(later.order_by(ChartPoint.time, ChartPoint.number).limit(1))
        first = last + 1 if found is None else found
    if end is not None:
        earlier = _in_time(factory, ChartPoint.time <= math.floor(end.timestamp()))
        found = db.session.scalar(
            earlier.order_by(ChartPoint.time.desc(), ChartPoint.number.desc()).limit(1)
        )
        last = -1 if found is None else min(last, found)
    return Span(factory.id, first, last)


def read(spans: Sequence[Span], most: int) -> Mapping[int, list[Point]]:
    """The points of each factory's span, thinned to at most `most`: one query for all of them.

    No more rows are fetched than about twice what is answered, however long the charts are.
    """
    wanted = [
        (span.factory_id, stretch)
        for span in spans
        for stretch in stretches(span.first, span.last, most)
    ]
    charts: dict[int, list[Point]] = {span.factory_id: [] for span in spans}
    if not wanted:
        return charts
    if db.engine.dialect.name == "postgresql":
        # It may take the query for much work, and would then compile it for seconds.
        db.session.execute(text("SET LOCAL jit = off"))
    rows = db.session.execute(_thinned(wanted))
    for factory_id, found in groupby(rows, attrgetter("factory_id")):
        by_bucket = groupby(found, attrgetter("bucket"))
        buckets = [[Point(*row[2:]) for row in bucket] for _, bucket in by_bucket]
        charts[factory_id] = fit(buckets, most)
    return charts


def as_data(points: Iterable[Point]) -> ChartData:
    """`points` as clients see them."""
    data = ChartData(sprocket_production_actual=[], sprocket_production_goal=[], time=[])
    for point in points:
        data["sprocket_production_actual"].append(point.actual)
        data["sprocket_production_goal"].append(point.goal)
        data["time"].append(point.time)
    return data


def _in_time(factory: Factory, condition: ColumnElement[bool]) -> Select[int]:
    return select(ChartPoint.number).where(ChartPoint.factory_id == factory.id, condition)


def _packed(value: Any) -> ColumnElement[int]:
    packed: ColumnElement[int] = value * _ROOM + ChartPoint.number
    return packed


def _thinned(wanted: Sequence[tuple[int, Stretch]]) -> Select[Any]:
    """Of each bucket the points at which a series was lowest or highest."""
    candidates = union_all(
        *(
            _candidates(wanted, of_blocks)
            for of_blocks in (False, True)
            if any(stretch.of_blocks is of_blocks for _, stretch in wanted)
        )
    ).subquery("candidate")
    of = candidates.c
    lowest_goal, highest_goal = func.min(of.lowest_goal), func.max(of.highest_goal)
    lowest_actual, highest_actual = func.min(of.lowest_actual), func.max(of.highest_actual)
    # Where the goal did not change, every point of the bucket has it.
    steady = lowest_goal // _ROOM == highest_goal // _ROOM
    bucket = (
        select(
            of.factory_id,
            of.bucket,
            lowest_actual.label("lowest_actual"),
            highest_actual.label("highest_actual"),
            case((steady, lowest_actual), else_=lowest_goal).label("lowest_goal"),
            case((steady, lowest_actual), else_=highest_goal).label("highest_goal"),
        )
        .group_by(of.factory_id, of.bucket)
        # Leaves out nothing, but lets PostgreSQL know that looking up single points is cheaper
        # than reading all: it took a minute otherwise, for a million.
        .limit(sum(stretch.buckets for _, stretch in wanted))
        .cte("bucket")
    )
    kept = union(
        *(
            select(bucket.c.factory_id, bucket.c.bucket, (bucket.c[name] % _ROOM).label("number"))
            for name in EXTREMES
        )
    ).subquery("kept")
    return (
        select(
            kept.c.factory_id,
            kept.c.bucket,
            ChartPoint.number,
            ChartPoint.time,
            ChartPoint.goal,
            ChartPoint.actual,
        )
        .join(
            ChartPoint,
            (ChartPoint.factory_id == kept.c.factory_id) & (ChartPoint.number == kept.c.number),
        )
        .order_by(kept.c.factory_id, ChartPoint.number)
    )


def _candidates(wanted: Sequence[tuple[int, Stretch]], of_blocks: bool) -> Select[Any]:
    stretch = _table(wanted, of_blocks)
    of = stretch.c
    key: type[ChartBlock | ChartPoint]
    if of_blocks:
        first_point, key = ChartBlock.number * POINTS_OF_A_BLOCK, ChartBlock
        extremes = [getattr(ChartBlock, name) for name in EXTREMES]
    else:
        first_point, key = ChartPoint.number + 0, ChartPoint
        actual, goal = _packed(ChartPoint.actual), _packed(ChartPoint.goal)
        extremes = [actual, actual, goal, goal]
    place = (first_point - of.origin) * of.buckets // of.length
    found = select(
        (of.bucket + place).label("bucket"),
        *(extreme.label(name) for extreme, name in zip(extremes, EXTREMES, strict=True)),
    ).where(key.factory_id == of.factory_id, key.number.between(of.first, of.last))
    if db.engine.dialect.name == "sqlite":
        return found.add_columns(of.factory_id)
    # PostgreSQL takes the stretches for much longer than they are, and would rather read all of
    # the table. A subquery that it cannot dissolve (hence the OFFSET) is run for each stretch.
    rows = found.offset(0).correlate(stretch).lateral()
    return select(*rows.c, of.factory_id).join(rows, true())


def _table(wanted: Sequence[tuple[int, Stretch]], of_blocks: bool) -> CTE:
    names = ("factory_id", "first", "last", "bucket", "origin", "buckets", "length")
    rows = [
        (factory_id, s.first, s.last, s.bucket, s.origin, s.buckets, s.length)
        for factory_id, s in wanted
        if s.of_blocks is of_blocks
    ]
    columns = [column(name, BigInteger) for name in names]
    return values(*columns).data(rows).cte("block_stretch" if of_blocks else "point_stretch")
