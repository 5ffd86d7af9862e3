"""The ticks of axes and their labels: round numbers, and round times in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

MINUTE, HOUR, DAY = 60, 3_600, 86_400
STEPS = [
    *(1, 2, 5, 10, 15, 30),
    *(MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(HOUR * n for n in (1, 2, 3, 6, 12)),
    *(DAY * n for n in (1, 2, 5, 10)),
]
MONTH_STEPS = [1, 3, 6]
SHORTEST_MONTH = 28
EARLIEST = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
LATEST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


class Tick(NamedTuple):
    """`below` is the second line of the label: the date, at the first tick of a day."""

    value: int
    label: str
    below: str = ""


def count_ticks(highest: int, limit: int = 6) -> list[Tick]:
    """Return ticks from 0 to a round number that is at least `highest`."""
    step = _round_step(-(-max(highest, 1) // (limit - 1)))
    last = -(-max(highest, 1) // step)
    return [Tick(n * step, f"{n * step:,}") for n in range(last + 1)]


def time_ticks(start: int, end: int, limit: int = 7) -> list[Tick]:
    """Return ticks from `start` to `end`, both in epoch seconds."""
    least = -(-(end - start) // (limit - 1))
    step = next((step for step in STEPS if step >= least), None)
    if step is not None:
        return list(_clock_ticks(start, end, step))
    months = -(-least // (SHORTEST_MONTH * DAY))
    step = next((step for step in MONTH_STEPS if step >= months), None)
    return list(_calendar_ticks(start, end, step or 12 * _round_step(-(-months // 12))))


def utc_time(time: int) -> datetime:
    """Return `time` (epoch seconds) as a datetime in UTC."""
    return datetime.fromtimestamp(time, UTC)


def _clock_ticks(start: int, end: int, step: int) -> Iterator[Tick]:
    day = ""
    for time in range(-(-start // step) * step, end + 1, step):
        date = f"{utc_time(time):%Y-%m-%d}"
        if step >= DAY:
            yield Tick(time, date)
            continue
        clock = f"{utc_time(time):%H:%M:%S}" if step < MINUTE else f"{utc_time(time):%H:%M}"
        yield Tick(time, clock, date if date != day else "")
        day = date


def _calendar_ticks(start: int, end: int, step: int) -> Iterator[Tick]:
    first, last = utc_time(start), utc_time(end)
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month, 1)
    for month in months:
        if month % step:
            continue
        time = int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())
        if time >= start:
            year = f"{month // 12:04}"
            yield Tick(time, year if step % 12 == 0 else f"{year}-{month % 12 + 1:02}")


def _round_step(least: int) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50, … that is at least `least`."""
    magnitude = 1
    while True:
        for digit in (1, 2, 5):
            if digit * magnitude >= least:
                return digit * magnitude
        magnitude *= 10
