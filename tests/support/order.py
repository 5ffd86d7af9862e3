"""The order of the tests in a run of several processes: both processors are busy until its end."""

from __future__ import annotations

from itertools import islice

import pytest

# Of a test that starts processes, if it says nothing else.
USUAL_SECONDS = 2
# Of the computing tests, how many run beside those that wait. The others come last, because they
# are short.
BESIDE = 0.6


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests in a better order.

    Tests that start processes mostly wait for them. All together they would leave the processors
    idle, so computing tests come between: after each as many as take about as long. The longest
    come first. If one of them came last, all would wait for it.
    """
    waiting = [item for item in items if item.get_closest_marker("processes")]
    waiting.sort(key=_seconds, reverse=True)
    computing = [item for item in items if not item.get_closest_marker("processes")]
    for_each_second = BESIDE * len(computing) / max(1, sum(map(_seconds, waiting)))
    left = iter(computing)
    ordered = []
    for item in waiting:
        ordered += [item, *islice(left, round(_seconds(item) * for_each_second))]
    return [*ordered, *left]


def _seconds(item: pytest.Item) -> int:
    marker = item.get_closest_marker("seconds")
    return int(marker.args[0]) if marker else USUAL_SECONDS
