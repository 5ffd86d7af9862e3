"""Linearizability: whether a history of concurrent operations has an order that explains it.

In such an order, each operation takes effect at one moment between its call and its response, and
each response is the one that a single client would have seen. The search is that of Wing and Gong,
with the memory of Lowe: a set of operations that has led to a state before is not tried again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

StateT = TypeVar("StateT", bound=Hashable)


@dataclass(frozen=True)
class Operation:
    """A call and its result, and the times of both."""

    call: tuple[Any, ...]
    result: Any
    begin: float
    end: float

    def __str__(self) -> str:
        return f"{self.begin:.6f} to {self.end:.6f}: {self.call} -> {self.result}"


Step = Callable[[StateT, tuple[Any, ...], Any], Iterable[StateT]]
"""Yields the states that may follow when a call has this result in a state: none if it cannot."""


class NotLinearizable(AssertionError):
    """No order explains the history."""


def check(history: Sequence[Operation], initial: StateT, step: Step[StateT]) -> None:
    """Raise `NotLinearizable` unless `history` is linearizable."""
    search = _Search(sorted(history, key=lambda operation: operation.begin), step)
    if not search.succeeds(initial):
        done, state = search.furthest
        stuck = [str(search.operations[number]) for number in search.possible(done)]
        raise NotLinearizable(
            f"After {done.bit_count()} of {len(history)} operations and in state {state},"
            " none of these explains its result:\n  " + "\n  ".join(stuck)
        )


class _Search(Generic[StateT]):
    """Sets of operations are integers: bit n stands for operation n."""

    def __init__(self, operations: Sequence[Operation], step: Step[StateT]) -> None:
        self.operations = operations
        self.furthest: tuple[int, Any] = (0, None)
        self._step = step

    def succeeds(self, initial: StateT) -> bool:
        """Return whether there is an order. Otherwise, `furthest` is its longest beginning."""
        everything = (1 << len(self.operations)) - 1
        start = (0, initial)
        self.furthest = start
        known = {start}
        path = [iter([start])] if not everything else [self._following(*start)]
        while path:
            found = next(path[-1], None)
            if found is None:
                path.pop()
                continue
            if found[0] == everything:
                return True
            if found not in known:
                known.add(found)
                self.furthest = max(self.furthest, found, key=lambda one: one[0].bit_count())
                path.append(self._following(*found))
        return False

    def possible(self, done: int) -> list[int]:
        """Return the operations that may take effect next: those that were called before the
        first response that is still to be explained."""
        found: list[int] = []
        first_response = math.inf
        number = (~done & (done + 1)).bit_length() - 1  # the first that is not done
        while number < len(self.operations) and self.operations[number].begin <= first_response:
            if not done >> number & 1:
                found.append(number)
                first_response = min(first_response, self.operations[number].end)
            number += 1
        return [number for number in found if self.operations[number].begin <= first_response]

    def _following(self, done: int, state: StateT) -> Iterator[tuple[int, StateT]]:
        for number in self.possible(done):
            operation = self.operations[number]
            for following in self._step(state, operation.call, operation.result):
                yield done | 1 << number, following
