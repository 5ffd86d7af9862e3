"""The SQL that downsamples charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    case,
    column,
    func,
    literal,
    select,
    true,
    union,
    union_all,
    values,
)

from automart.core.db import db
from automart.production.charts.downsampling import ReadRange
from automart.production.models import POINTS_PER_BLOCK, ChartBlock, ChartPoint

EXTREMES = ("lowest_actual", "highest_actual", "lowest_goal", "highest_goal")

# A value and the number of its point are packed into one integer, which sorts by the value. So one
# pass of `min` and `max` finds the points of the extremes, on both databases. There is room for
# 2^30 sprockets (`MOST_SPROCKETS` is less) and 2^33 points.
_NUMBERS = literal(2**33, BigInteger)

Ranges = Sequence[tuple[int, ReadRange]]
"""Ranges to read, each with the id of its factory."""


def pack(value: Any) -> ColumnElement[int]:
    """Return an expression that packs `value` with the number of its `ChartPoint`."""
    packed: ColumnElement[int] = value * _NUMBERS + ChartPoint.number
    return packed


def downsample(ranges: Ranges) -> Select[Any]:
    """Return a query for the points of each bucket at which a series is lowest or highest."""
    kept = _kept_numbers(_buckets(ranges))
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


def _kept_numbers(buckets: CTE) -> Subquery:
    return union(
        *(
            select(
                buckets.c.factory_id,
                buckets.c.bucket,
                (buckets.c[name] % _NUMBERS).label("number"),
            )
            for name in EXTREMES
        )
    ).subquery("kept")


def _buckets(ranges: Ranges) -> CTE:
    """The packed extremes of each bucket."""
    candidates = union_all(
        *(
            _candidates(ranges, reads_blocks=reads_blocks)
            for reads_blocks in (False, True)
            if any(planned.reads_blocks is reads_blocks for _, planned in ranges)
        )
    ).subquery("candidate")
    of = candidates.c
    lowest_goal, highest_goal = func.min(of.lowest_goal), func.max(of.highest_goal)
    lowest_actual, highest_actual = func.min(of.lowest_actual), func.max(of.highest_actual)
    # A goal that does not change within the bucket needs no points of its own.
    is_constant = lowest_goal // _NUMBERS == highest_goal // _NUMBERS
    return (
        select(
            of.factory_id,
            of.bucket,
            lowest_actual.label("lowest_actual"),
            highest_actual.label("highest_actual"),
            case((is_constant, lowest_actual), else_=lowest_goal).label("lowest_goal"),
            case((is_constant, lowest_actual), else_=highest_goal).label("highest_goal"),
        )
        .group_by(of.factory_id, of.bucket)
        # Removes no row, but shows PostgreSQL that looking up single points is cheaper than reading
        # the whole table. Without it, a million points took a minute.
        .limit(sum(planned.bucket_count for _, planned in ranges))
        .cte("bucket")
    )


def _candidates(ranges: Ranges, *, reads_blocks: bool) -> Select[Any]:
    """The packed extremes of each single point or block, and their buckets."""
    planned = _range_table(ranges, reads_blocks=reads_blocks)
    of = planned.c
    source: type[ChartBlock | ChartPoint]
    if reads_blocks:
        source, first_point = ChartBlock, ChartBlock.number * POINTS_PER_BLOCK
        extremes = [getattr(ChartBlock, name) for name in EXTREMES]
    else:
        source, first_point = ChartPoint, ChartPoint.number + 0
        actual, goal = pack(ChartPoint.actual), pack(ChartPoint.goal)
        extremes = [actual, actual, goal, goal]
    bucket = of.first_bucket + (first_point - of.origin) * of.bucket_count // of.length
    found = select(
        bucket.label("bucket"),
        *(extreme.label(name) for extreme, name in zip(extremes, EXTREMES, strict=True)),
    ).where(source.factory_id == of.factory_id, source.number.between(of.first, of.last))
    if db.engine.dialect.name == "sqlite":
        return found.add_columns(of.factory_id)
    # PostgreSQL overestimates the ranges and would rather read the whole table. A subquery that it
    # cannot inline (hence the OFFSET) is executed once per range.
    rows = found.offset(0).correlate(planned).lateral()
    return select(*rows.c, of.factory_id).join(rows, true())


def _range_table(ranges: Ranges, *, reads_blocks: bool) -> CTE:
    names = ("first", "last", "first_bucket", "origin", "bucket_count", "length")
    rows = [
        (factory_id, *(getattr(planned, name) for name in names))
        for factory_id, planned in ranges
        if planned.reads_blocks is reads_blocks
    ]
    columns = [column(name, BigInteger) for name in ("factory_id", *names)]
    return values(*columns).data(rows).cte("block_range" if reads_blocks else "point_range")
