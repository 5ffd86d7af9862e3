"""Which points of a long chart are kept. Knows nothing of the database.

The points between the first and the last one are divided into buckets of equal size. Of each bucket
those points are kept at which a series is lowest or highest: a line at this resolution would show
nothing else. So no peak is lost, least of all the extremes of the whole series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from automart.production.models import POINTS_PER_BLOCK


class Point(NamedTuple):
    number: int
    time: int
    goal: int
    actual: int


@dataclass(frozen=True, slots=True)
class ReadRange:
    """The points (or blocks of points) from `first` to `last`, and the buckets they belong to.

    Point n belongs to bucket `first_bucket + (n - origin) * bucket_count // length`, a block to the
    bucket of its first point.
    """

    reads_blocks: bool
    first: int
    last: int
    first_bucket: int
    origin: int
    bucket_count: int
    length: int


def plan_ranges(first: int, last: int, limit: int) -> Iterator[ReadRange]:
    """Yield what to read of the points `first` to `last` in order to keep `limit` of them."""
    length = last - first + 1
    if length <= limit:
        if length:
            yield ReadRange(False, first, last, 0, first, length, length)
        return
    # Twice as many buckets as are sure to fit. `merge_buckets` merges some if they do not.
    bucket_count = (limit - 2) // 4 * 2
    yield ReadRange(False, first, first, 0, first, 1, 1)
    yield from _plan_between(first + 1, last - 1, bucket_count)
    yield ReadRange(False, last, last, bucket_count + 1, last, 1, 1)


def _plan_between(first: int, last: int, bucket_count: int) -> Iterator[ReadRange]:
    length = last - first + 1

    def read(begin: int, end: int, *, reads_blocks: bool = False) -> Iterator[ReadRange]:
        if begin <= end:
            yield ReadRange(reads_blocks, begin, end, 1, first, bucket_count, length)

    if length < bucket_count * POINTS_PER_BLOCK:  # a block would be larger than a bucket
        yield from read(first, last)
        return
    first_block = -(-first // POINTS_PER_BLOCK)
    end_block = (last + 1) // POINTS_PER_BLOCK
    yield from read(first, first_block * POINTS_PER_BLOCK - 1)
    yield from read(first_block, end_block - 1, reads_blocks=True)
    yield from read(end_block * POINTS_PER_BLOCK, last)


def find_extremes(points: Sequence[Point]) -> list[Point]:
    """Return the points at which a series is lowest or highest, in order.

    These are up to two points, or up to four if the goal changes.
    """
    lowest, highest = (find(points, key=attrgetter("goal")) for find in (min, max))
    extremes = {find(points, key=attrgetter("actual")) for find in (min, max)}
    if lowest.goal != highest.goal:
        extremes |= {lowest, highest}
    return sorted(extremes)


def merge_buckets(buckets: Sequence[Sequence[Point]], limit: int) -> list[Point]:
    """Return at most `limit` points: the first and last bucket, and the extremes of all others.

    If these are too many, neighbouring buckets are merged, beginning with the pairs that save most
    points. `plan_ranges` makes so few buckets that the points fit at the latest when all pairs are
    merged.
    """
    if sum(map(len, buckets)) <= limit:
        return list(chain.from_iterable(buckets))
    kept = [list(buckets[0]), *map(find_extremes, buckets[1:-1]), list(buckets[-1])]
    excess = sum(map(len, kept)) - limit
    merged = {i: find_extremes(kept[i] + kept[i + 1]) for i in range(1, len(kept) - 2, 2)}
    saved = {i: len(kept[i]) + len(kept[i + 1]) - len(pair) for i, pair in merged.items()}
    for i in sorted(merged, key=lambda i: -saved[i]):
        if excess <= 0:
            break
        kept[i], kept[i + 1] = merged[i], []
        excess -= saved[i]
    return list(chain.from_iterable(kept))
