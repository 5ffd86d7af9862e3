"""A chart as an accessible SVG picture with a light and a dark colour scheme."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime

from flask import render_template

from automart.production.charts.downsampling import Point
from automart.production.charts.ticks import (
    EARLIEST,
    LATEST,
    Tick,
    count_ticks,
    time_ticks,
    utc_time,
)

SVG = "image/svg+xml"

WIDTH, HEIGHT = 800, 400
TOP, BOTTOM, RIGHT = 84, 336, 752
LEFT_OF_LABELS, DIGIT_WIDTH = 48, 8
WIDEST_HEADING = 72
MOST_MARKERS = 40
SHORTEST_LINE = 8
LEAST_SPAN = 60

# Characters that databases can store but XML documents cannot (XML 1.0 §2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def draw_chart(
    name: str, points: Sequence[Point], start: datetime | None = None, end: datetime | None = None
) -> str:
    """Return a picture from `start` (or the first point) to `end` (or the last one).

    `name` is that of the factory.
    """
    name = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", name)
    begin, finish = _window(points, start, end)
    highest = max((max(point.actual, point.goal) for point in points), default=0)
    counts = count_ticks(highest)
    left = LEFT_OF_LABELS + DIGIT_WIDTH * len(counts[-1].label)
    x = _scale(begin, finish, left, RIGHT)
    y = _scale(0, counts[-1].value, BOTTOM, TOP)
    actual = [(x(point.time), y(point.actual)) for point in points]
    goal = [(x(point.time), y(point.goal)) for point in points]
    return render_template(
        "chart.svg",
        width=WIDTH,
        height=HEIGHT,
        left=left,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        title=f"{name}: sprockets made, against the goal",
        description=_describe(points),
        heading=_shorten(name),
        counts=[(y(tick.value), tick) for tick in counts],
        times=[
            (x(tick.value), tick) for tick in _known_time_ticks(points, begin, finish, start, end)
        ],
        actual=_step_path(actual),
        goal=_step_path(goal),
        actual_marks=actual if len(actual) <= MOST_MARKERS else [],
        goal_marks=_short_line_marks(goal),
    )


def _window(
    points: Sequence[Point], start: datetime | None, end: datetime | None
) -> tuple[int, int]:
    """Return the ends of the time axis, which are at least `LEAST_SPAN` apart."""
    times = [point.time for point in points] or [
        int(requested.timestamp()) for requested in (start, end) if requested is not None
    ]
    first, last = (times[0], times[-1]) if times else (0, 0)
    begin = first if start is None else int(start.timestamp())
    finish = last if end is None else int(end.timestamp())
    missing = max(0, LEAST_SPAN - (finish - begin))
    return max(EARLIEST, begin - missing // 2), min(LATEST, finish + missing - missing // 2)


def _known_time_ticks(
    points: Sequence[Point],
    begin: int,
    finish: int,
    start: datetime | None,
    end: datetime | None,
) -> list[Tick]:
    """Return no ticks if the range is unknown: without points, and with an open end."""
    is_known = bool(points) or (start is not None and end is not None)
    return time_ticks(begin, finish) if is_known else []


def _scale(first: int, last: int, at_first: float, at_last: float) -> Callable[[int], float]:
    def position(value: int) -> float:
        return round(at_first + (value - first) * (at_last - at_first) / (last - first), 1)

    return position


def _step_path(positions: Sequence[tuple[float, float]]) -> str:
    """Return a path that keeps each height until the next point, as counts and goals do."""
    if not positions:
        return ""
    (x, y), *others = positions
    return " ".join([f"M{x:g} {y:g}", *(f"H{x:g}V{y:g}" for x, y in others)])


def _short_line_marks(positions: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return both ends of a dashed line that is too short to be visible."""
    if not positions or positions[-1][0] - positions[0][0] >= SHORTEST_LINE:
        return []
    return [positions[0], positions[-1]]


def _describe(points: Sequence[Point]) -> str:
    """Return what the picture shows, in words."""
    if not points:
        return "There are no points in this range."
    first, last = points[0], points[-1]
    actual = [point.actual for point in points]
    goal = [point.goal for point in points]
    span = (
        f"From {utc_time(first.time):%Y-%m-%d %H:%M} to {utc_time(last.time):%Y-%m-%d %H:%M} UTC."
    )
    return (
        f"{span} Actual: from {first.actual:,} to {last.actual:,} sprockets"
        f" (lowest {min(actual):,}, highest {max(actual):,})."
        f" Goal: from {first.goal:,} to {last.goal:,} sprockets"
        f" (lowest {min(goal):,}, highest {max(goal):,})."
    )


def _shorten(name: str) -> str:
    """Return as much of `name` as fits; wide characters need twice the space."""
    space = WIDEST_HEADING
    for position, character in enumerate(name):
        space -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if space < 0:
            return name[:position].rstrip() + "…"
    return name
