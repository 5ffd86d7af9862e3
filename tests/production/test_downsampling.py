"""Which points of a long chart are kept: the rules alone, and the queries of both databases."""

from __future__ import annotations

import random

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from automart.core.db import db, transaction
from automart.production.charts import queries, series
from automart.production.charts.downsampling import (
    Point,
    ReadRange,
    find_extremes,
    merge_buckets,
    plan_ranges,
)
from automart.production.charts.series import Span
from automart.production.models import POINTS_PER_BLOCK, ChartBlock, ChartPoint
from tests.support import charts


def covered(planned: ReadRange) -> range:
    """Return the numbers of the points that a range reads."""
    size = POINTS_PER_BLOCK if planned.reads_blocks else 1
    return range(planned.first * size, (planned.last + 1) * size)


class TestPlanRanges:
    @given(
        first=st.integers(0, 10**7),
        length=st.integers(0, 10**6),
        limit=st.integers(10, 1_000),
    )
    def test_ranges_cover_every_point_once_and_read_few_single_points(
        self, first: int, length: int, limit: int
    ) -> None:
        found = list(plan_ranges(first, first + length - 1, limit))
        expected = first
        for planned in found:
            assert covered(planned).start == expected
            expected = covered(planned).stop
        assert expected == first + length
        single_points = sum(len(covered(s)) for s in found if not s.reads_blocks)
        assert single_points <= max(limit, limit // 2 * POINTS_PER_BLOCK)

    def test_a_million_points_are_read_as_blocks(self) -> None:
        found = list(plan_ranges(0, 999_999, 500))
        assert sum(len(covered(s)) for s in found if not s.reads_blocks) < 2 * POINTS_PER_BLOCK + 2
        assert len(found) <= 5

    def test_points_before_the_first_and_after_the_last_block_are_read_singly(self) -> None:
        between = {"first_bucket": 1, "origin": 63, "bucket_count": 248, "length": 999_874}
        assert list(plan_ranges(62, 999_937, 500)) == [
            ReadRange(False, 62, 62, 0, 62, 1, 1),
            ReadRange(False, 63, 63, **between),
            ReadRange(True, 1, 15_623, **between),
            ReadRange(False, 999_936, 999_936, **between),
            ReadRange(False, 999_937, 999_937, 249, 999_937, 1, 1),
        ]

    def test_a_chart_that_fits_is_read_at_once(self) -> None:
        assert list(plan_ranges(3, 12, 10)) == [ReadRange(False, 3, 12, 0, 3, 10, 10)]
        assert list(plan_ranges(3, 2, 10)) == []


class TestFindExtremes:
    def test_a_single_point_is_its_own_extreme(self) -> None:
        point = Point(0, 0, 1, 1)
        assert find_extremes([point]) == [point]

    def test_a_constant_goal_adds_no_points(self) -> None:
        points = [Point(n, n, 5, actual) for n, actual in enumerate([2, 1, 3, 2])]
        assert find_extremes(points) == [points[1], points[2]]

    def test_a_goal_that_changes_adds_its_extremes(self) -> None:
        points = [Point(n, n, goal, n) for n, goal in enumerate([5, 9, 1, 5])]
        assert find_extremes(points) == points


class TestMergeBuckets:
    def test_points_that_fit_are_all_kept(self) -> None:
        buckets = [[Point(n, n, 0, n)] for n in range(10)]
        assert merge_buckets(buckets, 10) == [points[0] for points in buckets]

    def test_only_as_many_pairs_are_merged_as_necessary(self) -> None:
        between = [[Point(n * 2, 0, 0, 0), Point(n * 2 + 1, 0, n % 2, 1)] for n in range(1, 9)]
        buckets = [[Point(0, 0, 0, 0)], *between, [Point(99, 0, 0, 0)]]
        assert [len(merge_buckets(buckets, limit)) for limit in (18, 17, 15)] == [18, 16, 14]

    def test_the_pair_that_saves_most_is_merged_first(self) -> None:
        values = {
            0: [(0, 0)],
            2: [(0, 0), (0, 1)],
            4: [(0, 0), (0, 1)],
            6: [(0, 5), (9, 5), (5, 3), (5, 9)],
            10: [(1, 4), (8, 4), (5, 4), (5, 8)],
            99: [(0, 0)],
        }
        buckets = [
            [Point(first + n, 0, *pair) for n, pair in enumerate(pairs)]
            for first, pairs in values.items()
        ]
        kept = [0, 2, 3, 4, 5, 6, 7, 8, 9]
        for limit, more in ((13, [10, 11, 13, 99]), (12, [99])):
            assert [point.number for point in merge_buckets(buckets, limit)] == kept + more


def history(seed: int, count: int) -> list[tuple[int, int, int]]:
    """Return points (time, goal, actual), some series constant and others volatile."""
    rng = random.Random(seed)
    jump = rng.choice([1, 1, 50])
    change_of_goal = rng.choice([0.0, 0.01, 0.7])
    time, goal, actual = 1_000, 100, 100
    points = []
    for _ in range(count):
        time += rng.choice([0, 0, 1, 60])
        actual = max(0, actual + rng.randint(-jump, jump))
        if rng.random() < change_of_goal:
            goal = rng.randrange(10_000)
        points.append((time, goal, actual))
    return points


# Each example has a factory of its own, so all of them can share one database.
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 3_000),
    limit=st.integers(10, 80),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_the_first_last_lowest_and_highest_points_are_kept_in_order(
    app: Flask, seed: int, count: int, limit: int, cut: tuple[float, float]
) -> None:
    points = history(seed, count)
    factory = charts.make_factory()
    charts.store(factory, points)
    first, last = sorted(min(int(part * count), count - 1) for part in cut)
    wanted = [
        Point(number, *point) for number, point in enumerate(points) if first <= number <= last
    ]
    kept = series.read_charts([Span(factory.id, first, last)], limit)[factory.id]
    assert len(kept) <= limit
    assert kept == sorted(set(kept))
    assert set(kept) <= set(wanted)
    assert (kept[0], kept[-1]) == (wanted[0], wanted[-1])
    for extreme in (min, max):
        assert extreme(p.actual for p in kept) == extreme(p.actual for p in wanted)
        assert extreme(p.goal for p in kept) == extreme(p.goal for p in wanted)
    if len(wanted) <= limit:
        assert kept == wanted


@pytest.mark.parametrize(("length", "limit"), [(70_000, 500), (20_000, 500), (70_000, 1_000)])
def test_at_most_twice_as_many_rows_are_fetched_as_are_returned(
    app: Flask, length: int, limit: int
) -> None:
    factory = charts.make_factory()
    charts.fill(factory, length)
    ranges = [(factory.id, planned) for planned in plan_ranges(0, length - 1, limit)]
    rows = db.session.execute(queries.downsample(ranges)).all()
    assert limit // 2 <= len(rows) <= 2 * limit
    assert len(series.read_charts([series.full_span(factory)], limit)[factory.id]) <= limit


def test_several_charts_are_read_at_once_without_mixing_them_up(app: Flask) -> None:
    factories = [charts.make_factory() for _ in range(3)]
    for factory, length in zip(factories, (3, 500, 5_000), strict=True):
        charts.fill(factory, length)
    together = series.read_charts([series.full_span(factory) for factory in factories], 100)
    for factory in factories:
        assert (
            together[factory.id] == series.read_charts([series.full_span(factory)], 100)[factory.id]
        )
    assert len(together[factories[0].id]) == 3


def test_a_block_is_stored_alone(app: Flask) -> None:
    factory, other = charts.make_factory(), charts.make_factory()
    for each in (factory, other):
        charts.fill(each, 3 * POINTS_PER_BLOCK)
    with transaction():
        db.session.execute(delete(ChartBlock).where(ChartBlock.number == 1))
        db.session.execute(update(ChartPoint).values(goal=ChartPoint.factory_id))
        series.add_blocks(factory.id, 1, 1)
    (block,) = db.session.scalars(select(ChartBlock).where(ChartBlock.number == 1))
    goals = (block.lowest_goal, block.highest_goal)
    assert (block.factory_id, [goal // 2**33 for goal in goals]) == (factory.id, [factory.id] * 2)


def test_a_factory_that_was_just_deleted_has_an_empty_chart(app: Flask) -> None:
    assert series.read_charts([Span(999, 0, 2_000)], 100) == {999: []}
