"""What is kept of a long chart, by the rules alone and through the databases."""

from __future__ import annotations

import random

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automart.core.db import db
from automart.production.charts import series
from automart.production.charts.downsampling import Point, Stretch, extremes, fit, stretches
from automart.production.charts.series import Span
from automart.production.models import POINTS_OF_A_BLOCK
from tests.support import charts


def covered(stretch: Stretch) -> range:
    """The numbers of the points that a stretch reads."""
    each = POINTS_OF_A_BLOCK if stretch.of_blocks else 1
    return range(stretch.first * each, (stretch.last + 1) * each)


class TestStretches:
    @given(
        first=st.integers(0, 10**7),
        length=st.integers(0, 10**6),
        most=st.integers(10, 1_000),
    )
    def test_they_cover_everything_once_and_read_little(
        self, first: int, length: int, most: int
    ) -> None:
        found = list(stretches(first, first + length - 1, most))
        expected = first
        for stretch in found:
            assert covered(stretch).start == expected
            expected = covered(stretch).stop
        assert expected == first + length
        single_points = sum(len(covered(s)) for s in found if not s.of_blocks)
        assert single_points <= max(most, most // 2 * POINTS_OF_A_BLOCK)

    def test_of_a_million_points_hardly_any_is_read_alone(self) -> None:
        found = list(stretches(0, 999_999, 500))
        assert sum(len(covered(s)) for s in found if not s.of_blocks) < 2 * POINTS_OF_A_BLOCK + 2
        assert len(found) <= 5


class TestExtremes:
    def test_of_one_point_is_that_point(self) -> None:
        point = Point(0, 0, 1, 1)
        assert extremes([point]) == [point]

    def test_a_goal_that_stays_needs_no_points_of_its_own(self) -> None:
        points = [Point(n, n, 5, actual) for n, actual in enumerate([2, 1, 3, 2])]
        assert extremes(points) == [points[1], points[2]]

    def test_a_goal_that_changes_does(self) -> None:
        points = [Point(n, n, goal, n) for n, goal in enumerate([5, 9, 1, 5])]
        assert extremes(points) == points


class TestFit:
    def test_what_fits_is_left_alone(self) -> None:
        buckets = [[Point(n, n, 0, n)] for n in range(10)]
        assert fit(buckets, 10) == [points[0] for points in buckets]

    def test_pairs_are_merged_only_as_far_as_needed(self) -> None:
        between = [[Point(n * 2, 0, 0, 0), Point(n * 2 + 1, 0, n % 2, 1)] for n in range(1, 9)]
        buckets = [[Point(0, 0, 0, 0)], *between, [Point(99, 0, 0, 0)]]
        assert [len(fit(buckets, most)) for most in (18, 17, 15)] == [18, 16, 14]


def history(seed: int, count: int) -> list[tuple[int, int, int]]:
    """Points as (time, goal, actual): sometimes steady, sometimes wild."""
    chance = random.Random(seed)
    jump = chance.choice([1, 1, 50])
    change_of_goal = chance.choice([0.0, 0.01, 0.7])
    time, goal, actual = 1_000, 100, 100
    points = []
    for _ in range(count):
        time += chance.choice([0, 0, 1, 60])
        actual = max(0, actual + chance.randint(-jump, jump))
        if chance.random() < change_of_goal:
            goal = chance.randrange(10_000)
        points.append((time, goal, actual))
    return points


# Each example has a factory of its own, so the database may be the same for all.
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 3_000),
    most=st.integers(10, 80),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_the_first_last_lowest_and_highest_are_kept_in_order(
    app: Flask, seed: int, count: int, most: int, cut: tuple[float, float]
) -> None:
    points = history(seed, count)
    factory = charts.make_factory()
    charts.store(factory, points)
    first, last = sorted(min(int(part * count), count - 1) for part in cut)
    wanted = [
        Point(number, *point) for number, point in enumerate(points) if first <= number <= last
    ]
    kept = series.read([Span(factory.id, first, last)], most)[factory.id]
    assert len(kept) <= most
    assert kept == sorted(set(kept))
    assert set(kept) <= set(wanted)
    assert (kept[0], kept[-1]) == (wanted[0], wanted[-1])
    for extreme in (min, max):
        assert extreme(p.actual for p in kept) == extreme(p.actual for p in wanted)
        assert extreme(p.goal for p in kept) == extreme(p.goal for p in wanted)
    if len(wanted) <= most:
        assert kept == wanted


@pytest.mark.parametrize(("length", "most"), [(70_000, 500), (20_000, 500), (70_000, 1_000)])
def test_no_more_rows_are_fetched_than_twice_what_is_shown(
    app: Flask, length: int, most: int
) -> None:
    factory = charts.make_factory()
    charts.fill(factory, length)
    wanted = [(factory.id, stretch) for stretch in stretches(0, length - 1, most)]
    rows = db.session.execute(series._thinned(wanted)).all()
    assert most // 2 <= len(rows) <= 2 * most
    assert len(series.read([series.whole(factory)], most)[factory.id]) <= most


def test_several_charts_are_read_at_once_and_none_is_mixed_up(app: Flask) -> None:
    factories = [charts.make_factory() for _ in range(3)]
    for factory, length in zip(factories, (3, 500, 5_000), strict=True):
        charts.fill(factory, length)
    together = series.read([series.whole(factory) for factory in factories], 100)
    for factory in factories:
        assert together[factory.id] == series.read([series.whole(factory)], 100)[factory.id]
    assert len(together[factories[0].id]) == 3


def test_a_factory_that_is_gone_meanwhile_has_an_empty_chart(app: Flask) -> None:
    assert series.read([Span(999, 0, 2_000)], 100) == {999: []}
