"""A chart as an SVG picture, readable in light and dark and by those who cannot see it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from flask import render_template

from automart.production.charts.downsampling import Point
from automart.production.charts.ticks import (
    EARLIEST,
    LATEST,
    Tick,
    count_ticks,
    moment,
    time_ticks,
)

SVG = "image/svg+xml"

WIDTH, HEIGHT = 800, 400
TOP, BOTTOM, RIGHT = 84, 336, 752
LEFT_OF_LABELS, WIDTH_OF_A_DIGIT = 48, 8
WIDEST_HEADING = 72
MOST_MARKERS = 40
LEAST_WIDTH_OF_A_LINE = 8
LEAST_SPAN = 60

# Characters that a database holds and no XML document may (XML 1.0 §2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def draw(
    name: str, points: Sequence[Point], start: datetime | None = None, end: datetime | None = None
) -> str:
    """The chart of the factory `name` from `start` (or the first point) to `end` (or the last)."""
    name = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", name)
    begin, finish = _window(points, start, end)
    highest = max((max(point.actual, point.goal) for point in points), default=0)
    counts = count_ticks(highest)
    left = LEFT_OF_LABELS + WIDTH_OF_A_DIGIT * len(counts[-1].label)
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
        description=_told(points),
        heading=_shortened(name),
        counts=[(y(tick.value), tick) for tick in counts],
        times=[(x(tick.value), tick) for tick in _times(points, begin, finish, start, end)],
        actual=_steps(actual),
        goal=_steps(goal),
        actual_marks=actual if len(actual) <= MOST_MARKERS else [],
        goal_marks=_marks_of_a_short_line(goal),
    )


def _window(
    points: Sequence[Point], start: datetime | None, end: datetime | None
) -> tuple[int, int]:
    """What the time axis shows; never so short that its two ends are one."""
    times = [point.time for point in points] or [
        int(asked.timestamp()) for asked in (start, end) if asked is not None
    ]
    first, last = (times[0], times[-1]) if times else (0, 0)
    begin = first if start is None else int(start.timestamp())
    finish = last if end is None else int(end.timestamp())
    missing = max(0, LEAST_SPAN - (finish - begin))
    return max(EARLIEST, begin - missing // 2), min(LATEST, finish + missing - missing // 2)


def _times(
    points: Sequence[Point],
    begin: int,
    finish: int,
    start: datetime | None,
    end: datetime | None,
) -> list[Tick]:
    """No ticks where nothing says which times are meant: no points, and an end left open."""
    is_known = bool(points) or (start is not None and end is not None)
    return time_ticks(begin, finish) if is_known else []


def _scale(first: int, last: int, at_first: float, at_last: float) -> Callable[[int], float]:
    def place(value: int) -> float:
        return round(at_first + (value - first) * (at_last - at_first) / (last - first), 1)

    return place


def _steps(places: Sequence[tuple[float, float]]) -> str:
    """A path that stays at each height until the next begins, as counts and goals do."""
    return " ".join(_path(places))


def _path(places: Sequence[tuple[float, float]]) -> Iterator[str]:
    for number, (x, y) in enumerate(places):
        yield f"H{x:g}V{y:g}" if number else f"M{x:g} {y:g}"


def _marks_of_a_short_line(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Marks at both ends of a dashed line that is too short to be seen."""
    if not places or places[-1][0] - places[0][0] >= LEAST_WIDTH_OF_A_LINE:
        return []
    return [places[0], places[-1]]


def _told(points: Sequence[Point]) -> str:
    """What one would see, in words."""
    if not points:
        return "There are no points in this range."
    first, last = points[0], points[-1]
    actual = [point.actual for point in points]
    goal = [point.goal for point in points]
    span = f"From {moment(first.time):%Y-%m-%d %H:%M} to {moment(last.time):%Y-%m-%d %H:%M} UTC."
    return (
        f"{span} Actual: from {first.actual:,} to {last.actual:,} sprockets"
        f" (lowest {min(actual):,}, highest {max(actual):,})."
        f" Goal: from {first.goal:,} to {last.goal:,} sprockets"
        f" (lowest {min(goal):,}, highest {max(goal):,})."
    )


def _shortened(name: str) -> str:
    """`name`, or as much of it as there is room for; wide characters need twice as much."""
    room = WIDEST_HEADING
    for place, character in enumerate(name):
        room -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if room < 0:
            return name[:place].rstrip() + "…"
    return name
