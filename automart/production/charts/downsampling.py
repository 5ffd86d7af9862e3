"""Which points of a long chart are shown. Knows nothing of the database.

The points between the first and the last are divided into buckets of as many points each, and of
every bucket are kept those at which a series was lowest and highest: what a line of that width
would show anyway. So nothing that stands out is lost, least of all a series' extremes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from automart.production.models import POINTS_OF_A_BLOCK


class Point(NamedTuple):
    number: int
    time: int
    goal: int
    actual: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Points (or blocks of them) from `first` to `last`, that fall into buckets.

    Point n falls into bucket `bucket + (n - origin) * buckets // length`; a block where its first
    point does.
    """

    of_blocks: bool
    first: int
    last: int
    bucket: int
    origin: int
    buckets: int
    length: int


def stretches(first: int, last: int, most: int) -> Iterator[Stretch]:
    """What to read of the points `first` to `last`, to keep at most `most` of them."""
    count = last - first + 1
    if count <= most:
        if count:
            yield Stretch(False, first, last, 0, first, count, count)
        return
    # Twice as many buckets as are sure to fit, for `fit` to merge what does not; see there.
    buckets = (most - 2) // 4 * 2
    yield Stretch(False, first, first, 0, first, 1, 1)
    yield from _between(first + 1, last - 1, buckets)
    yield Stretch(False, last, last, buckets + 1, last, 1, 1)


def _between(first: int, last: int, buckets: int) -> Iterator[Stretch]:
    length = last - first + 1

    def stretch(of_blocks: bool, begin: int, end: int) -> Iterator[Stretch]:
        if begin <= end:
            yield Stretch(of_blocks, begin, end, 1, first, buckets, length)

    if length < buckets * POINTS_OF_A_BLOCK:  # blocks would be too coarse
        yield from stretch(False, first, last)
        return
    first_block = -(-first // POINTS_OF_A_BLOCK)
    end_block = (last + 1) // POINTS_OF_A_BLOCK
    yield from stretch(False, first, first_block * POINTS_OF_A_BLOCK - 1)
    yield from stretch(True, first_block, end_block - 1)
    yield from stretch(False, end_block * POINTS_OF_A_BLOCK, last)


def extremes(points: Sequence[Point]) -> list[Point]:
    """The points of a bucket at which a series was lowest or highest, in order.

    Two, or up to four where the goal changed: where it did not, every point has it.
    """
    kept = {min(points, key=_actual), max(points, key=_actual)}
    lowest, highest = min(points, key=_goal), max(points, key=_goal)
    if lowest.goal != highest.goal:
        kept |= {lowest, highest}
    return sorted(kept)


def fit(buckets: Sequence[Sequence[Point]], most: int) -> list[Point]:
    """At most `most` points: of the first and last bucket all, and the extremes of each between.

    As long as these are too many, neighbours are merged, those first that thereby lose most. All
    pairs merged fit for sure, by the number of buckets that `stretches` makes.
    """
    if sum(map(len, buckets)) <= most:
        return list(chain.from_iterable(buckets))
    kept = [list(buckets[0]), *map(extremes, buckets[1:-1]), list(buckets[-1])]
    excess = sum(map(len, kept)) - most
    merged = {i: extremes(kept[i] + kept[i + 1]) for i in range(1, len(kept) - 2, 2)}
    saved = {i: len(kept[i]) + len(kept[i + 1]) - len(pair) for i, pair in merged.items()}
    for i in sorted(merged, key=lambda i: -saved[i]):
        if excess <= 0:
            break
        kept[i], kept[i + 1] = merged[i], []
        excess -= saved[i]
    return list(chain.from_iterable(kept))


def _actual(point: Point) -> int:
    return point.actual


def _goal(point: Point) -> int:
    return point.goal
