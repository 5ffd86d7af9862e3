"""The picture of a chart, and the ticks of its axes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from automart.production.charts.downsampling import Point
from automart.production.charts.svg import (
    BOTTOM,
    DIGIT_WIDTH,
    HEIGHT,
    LEFT_OF_LABELS,
    RIGHT,
    TOP,
    WIDTH,
    draw_chart,
)
from automart.production.charts.ticks import (
    DAY,
    EARLIEST,
    HOUR,
    LATEST,
    Tick,
    count_ticks,
    time_ticks,
)

NAMESPACE = "{http://www.w3.org/2000/svg}"
JANUARY_15 = 1_768_435_200
LEFT = LEFT_OF_LABELS + DIGIT_WIDTH  # if the counts have one digit


@pytest.fixture(autouse=True)
def templates() -> Iterator[None]:
    with Flask("automart").app_context():
        yield


def parsed(
    points: list[Point],
    name: str = "Works",
    start: datetime | None = None,
    end: datetime | None = None,
) -> ET.Element:
    return ET.fromstring(draw_chart(name, points, start, end))  # noqa: S314 - it is our own


def texts(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{NAMESPACE}text")]


def line(picture: ET.Element, series: str) -> str:
    """Return the path of a series: the last of its class, after the one of the legend."""
    paths = [path for path in picture.iter(f"{NAMESPACE}path") if path.get("class") == series]
    return paths[-1].attrib["d"]


def points(*values: tuple[int, int, int]) -> list[Point]:
    return [
        Point(number, JANUARY_15 + time, goal, actual)
        for number, (time, goal, actual) in enumerate(values)
    ]


class TestPicture:
    def test_a_picture_has_a_text_alternative(self) -> None:
        picture = parsed(points((0, 5, 0), (3_600, 8, 1_234)))
        assert picture.get("role") == "img"
        assert picture.get("aria-labelledby") == "title desc"
        shown = {element.get("id"): element.text for element in picture if element.get("id")}
        assert shown["title"] == "Works: sprockets made, against the goal"
        assert shown["desc"] == (
            "From 2026-01-15 00:00 to 2026-01-15 01:00 UTC."
            " Actual: from 0 to 1,234 sprockets (lowest 0, highest 1,234)."
            " Goal: from 5 to 8 sprockets (lowest 5, highest 8)."
        )

    def test_a_picture_has_axes_with_dates_and_units_and_a_legend(self) -> None:
        shown = texts(parsed(points((0, 5, 0), (6 * HOUR, 10, 4))))
        assert {"Actual (sprockets)", "Goal (sprockets)", "Sprockets", "Time (UTC)"} <= set(shown)
        assert {"00:00", "2026-01-15", "06:00", "0", "10"} <= set(shown)

    def test_both_series_are_step_lines(self) -> None:
        picture = parsed(points((0, 10, 0), (100, 10, 5), (200, 5, 5)))
        for series in ("actual", "goal"):
            assert re.fullmatch(r"M[\d. ]+( H[\d.]+V[\d.]+){2}", line(picture, series))
        assert line(picture, "actual").startswith(f"M64 {BOTTOM} ")
        assert line(picture, "goal").startswith(f"M64 {TOP} ")
        assert line(picture, "goal").endswith(f"H{RIGHT}V{(TOP + BOTTOM) // 2}")

    def test_a_picture_has_a_light_and_a_dark_colour_scheme(self) -> None:
        style = parsed([]).findtext(f"{NAMESPACE}style")
        assert style is not None
        light, dark = style.split("@media (prefers-color-scheme: dark)")
        for shape in (".surface", "text", ".heading", ".actual", ".goal", ".axis", ".grid"):
            assert f"\n{shape} {{" in light
            assert f"\n{shape} {{" in dark

    def test_a_single_point_is_visible(self) -> None:
        picture = parsed(points((0, 7, 3)))
        circles = list(picture.iter(f"{NAMESPACE}circle"))
        squares = [r for r in picture.iter(f"{NAMESPACE}rect") if r.get("class") == "goal-mark"]
        assert len(circles) == 2  # with the legend's
        middle = (LEFT + RIGHT) // 2
        assert re.fullmatch(rf"M{middle} [\d.]+", line(picture, "actual"))
        assert squares

    def test_an_empty_chart_says_so(self) -> None:
        shown = texts(parsed([]))
        assert "No points in this range" in shown
        requested = {
            "start": datetime(2026, 1, 15, tzinfo=UTC),
            "end": datetime(2026, 1, 16, tzinfo=UTC),
        }
        assert "2026-01-15" in texts(parsed([], **requested))  # type: ignore[arg-type] # both are times
        for name, value in requested.items():  # the other end is not known
            shown = texts(parsed([], **{name: value}))  # type: ignore[arg-type] # start and end are times
            assert not [text for text in shown if text.startswith("2026")]

    def test_characters_that_xml_cannot_contain_are_replaced(self) -> None:
        picture = parsed([], "a\ufffe<b>&\N{GRINNING FACE}")
        heading = texts(picture)[0]
        assert heading == "a\ufffd<b>&\N{GRINNING FACE}"

    @pytest.mark.parametrize(
        ("name", "heading"),
        [
            ("x" * 72, "x" * 72),
            ("x" * 73, "x" * 72 + "…"),
            ("x" * 70 + " x" * 10, "x" * 70 + " x…"),
            ("x" * 71 + " x" * 10, "x" * 71 + "…"),
            (36 * "\N{CJK UNIFIED IDEOGRAPH-5EE0}", 36 * "\N{CJK UNIFIED IDEOGRAPH-5EE0}"),
            (37 * "\N{CJK UNIFIED IDEOGRAPH-5EE0}", 36 * "\N{CJK UNIFIED IDEOGRAPH-5EE0}" + "…"),
        ],
    )
    def test_a_long_name_is_shortened_in_the_heading_only(self, name: str, heading: str) -> None:
        picture = parsed([], name)
        assert texts(picture)[0] == heading
        title = picture.findtext(f"{NAMESPACE}title")
        assert title == f"{name}: sprockets made, against the goal"

    def test_the_time_axis_covers_what_was_requested(self) -> None:
        shown = points((HOUR, 5, 0), (2 * HOUR, 5, 0))
        start, end = (datetime.fromtimestamp(JANUARY_15 + hours * HOUR, UTC) for hours in (0, 4))
        for requested, first, last in (
            ({}, 0, 1),
            ({"start": start}, 1 / 2, 1),
            ({"end": end}, 0, 1 / 3),
            ({"start": start, "end": end}, 1 / 4, 1 / 2),
        ):
            x, to = (LEFT + part * (RIGHT - LEFT) for part in (first, last))
            assert line(parsed(shown, **requested), "actual") == f"M{x:g} {BOTTOM} H{to:g}V{BOTTOM}"

    @given(
        times=st.lists(st.integers(EARLIEST, LATEST), min_size=1, max_size=5),
        highest=st.integers(0, 10**9),
        requested=st.lists(st.datetimes(timezones=st.just(UTC)), max_size=2),
    )
    def test_nothing_is_drawn_outside_the_picture(
        self, times: list[int], highest: int, requested: list[datetime]
    ) -> None:
        times.sort()
        start, end = (*sorted(requested), None, None)[:2]
        if start is not None:
            times = [time for time in times if time >= start.timestamp()]
        if end is not None:
            times = [time for time in times if time <= end.timestamp()]
        shown = [Point(n, time, highest, n) for n, time in enumerate(times)]
        with Flask("automart").app_context():
            picture = parsed(shown, start=start, end=end)
        for element in picture.iter():
            for name, limit in (("x", WIDTH), ("cx", WIDTH), ("y", HEIGHT), ("cy", HEIGHT)):
                assert -4 <= float(element.get(name, 0)) <= limit


class TestTimeTicks:
    @given(start=st.integers(EARLIEST, LATEST - 60), length=st.integers(60, LATEST - EARLIEST))
    def test_time_ticks_are_few_and_in_order_and_in_range(self, start: int, length: int) -> None:
        end = min(start + length, LATEST)
        ticks = time_ticks(start, end)
        values = [tick.value for tick in ticks]
        assert values == sorted(set(values))
        assert len(values) <= 9
        assert all(start <= value <= end for value in values)

    @pytest.mark.parametrize(
        ("length", "labels"),
        [
            (30, ["00:00:00", "00:00:05", "00:00:10", "00:00:15", "00:00:20", "00:00:25"]),
            (60, ["00:00:00", "00:00:10", "00:00:20", "00:00:30", "00:00:40", "00:00:50"]),
            (6 * HOUR, ["00:00", "01:00", "02:00", "03:00", "04:00", "05:00"]),
            (
                5 * DAY,
                [
                    "2026-01-15",
                    "2026-01-16",
                    "2026-01-17",
                    "2026-01-18",
                    "2026-01-19",
                    "2026-01-20",
                ],
            ),
            (168 * DAY, ["2026-02", "2026-03", "2026-04", "2026-05", "2026-06", "2026-07"]),
            (200 * DAY, ["2026-04", "2026-07"]),
            (504 * DAY, ["2026-04", "2026-07", "2026-10", "2027-01", "2027-04"]),
            (1_008 * DAY, ["2026-07", "2027-01", "2027-07", "2028-01", "2028-07"]),
            (1_500 * DAY, ["2027", "2028", "2029", "2030"]),
            (2_184 * DAY, ["2028", "2030", "2032"]),
            (30_000 * DAY, ["2040", "2060", "2080", "2100"]),
        ],
    )
    def test_labels_of_time_ticks_are_as_precise_as_necessary(
        self, length: int, labels: list[str]
    ) -> None:
        ticks = time_ticks(JANUARY_15, JANUARY_15 + length)
        assert [tick.label for tick in ticks][:6] == labels

    def test_months_at_both_ends_have_ticks(self) -> None:
        april, july, october = (
            int(datetime(2026, month, 1, tzinfo=UTC).timestamp()) for month in (4, 7, 10)
        )
        assert time_ticks(april, october) == [
            Tick(april, "2026-04"),
            Tick(july, "2026-07"),
            Tick(october, "2026-10"),
        ]

    def test_the_first_tick_of_a_day_has_the_date(self) -> None:
        ticks = time_ticks(JANUARY_15 - 3 * HOUR, JANUARY_15 + 3 * HOUR)
        assert [tick.below for tick in ticks] == [
            "2026-01-14",
            "",
            "",
            "2026-01-15",
            "",
            "",
            "",
        ]


class TestCountTicks:
    @given(highest=st.integers(0, 10**9))
    def test_count_ticks_reach_the_highest_value_in_a_few_round_steps(self, highest: int) -> None:
        values = [tick.value for tick in count_ticks(highest)]
        assert values[0] == 0
        assert values[-1] >= max(highest, 1)
        assert 2 <= len(values) <= 6
        assert values[1] == values[-1] / (len(values) - 1)

    def test_count_ticks_have_thousands_separators(self) -> None:
        assert count_ticks(1_200_000) == [
            Tick(0, "0"),
            Tick(500_000, "500,000"),
            Tick(1_000_000, "1,000,000"),
            Tick(1_500_000, "1,500,000"),
        ]

    @pytest.mark.parametrize(
        ("highest", "values"),
        [(0, [0, 1]), (5, [0, 1, 2, 3, 4, 5]), (6, [0, 2, 4, 6]), (26, [0, 10, 20, 30])],
    )
    def test_count_ticks_end_at_the_first_round_number(
        self, highest: int, values: list[int]
    ) -> None:
        assert [tick.value for tick in count_ticks(highest)] == values
