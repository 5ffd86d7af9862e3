"""Iterables in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

# Rows per statement: the number of parameters of one statement is limited (32,766 by SQLite).
BATCH_SIZE = 1_000

ItemT = TypeVar("ItemT")


def batched(items: Iterable[ItemT], size: int = BATCH_SIZE) -> Iterator[Sequence[ItemT]]:
    """Yield `items` in batches of `size`; the last one may be shorter."""
    # itertools.batched is new in Python 3.12.
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
