"""Turns: few threads of a process compute at the same time.

Python runs one thread at a time. Threads that compete for it spend much of the processor's time on
switching, and each takes longer than if it had waited for its turn. A turn is a courtesy and not a
lock: a thread that has waited for `WAITING_SECONDS` continues without one. So threads that wait for
a database during their turn cannot stop the others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock, local
from typing import Any

WAITING_SECONDS = 0.1
SHORT_WAIT_SECONDS = 0.001
"""Two threads take about as long to hand a turn over, and back."""

_thread = local()


class Turns:
    """Turns for `count` threads, in the order in which they ask."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[Any] = deque()
        self._mutex = Lock()

    def take(self, *, first: bool = False) -> None:
        """Wait for a turn, but not for long; `first` before all others that wait."""
        if self._is_given(first):
            _thread.turns = self

    def give_back(self) -> None:
        """Let another thread continue, if this one has a turn."""
        if getattr(_thread, "turns", None) is not self:
            return
        _thread.turns = None
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have a turn, unless this thread has one already."""
        if has_turn():
            yield
            return
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def _is_given(self, first: bool) -> bool:
        with self._mutex:
            if self._free:
                self._free -= 1
                return True
            mine = Lock()
            mine.acquire()
            if first:
                self._waiting.appendleft(mine)
            else:
                self._waiting.append(mine)
        if mine.acquire(timeout=WAITING_SECONDS):
            return True
        with self._mutex:
            if mine not in self._waiting:
                return True  # it was given at the last moment
            self._waiting.remove(mine)
        return False


def has_turn() -> bool:
    """Return whether this thread has a turn."""
    return getattr(_thread, "turns", None) is not None


@contextmanager
def turn_released() -> Iterator[None]:
    """Let other threads continue during work that does not need the interpreter.

    Then this one is the next: it may hold a lock that others wait for.
    """
    turns: Turns | None = getattr(_thread, "turns", None)
    if turns is None:
        yield
        return
    turns.give_back()
    try:
        yield
    finally:
        turns.take(first=True)


class RepeatedWait:
    """A wait that occurs often, such as that of commits for the disk.

    Other threads continue during it if the last one was not short.
    """

    def __init__(self) -> None:
        self._is_short = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        with nullcontext() if self._is_short else turn_released():
            started = time.perf_counter()
            yield
            self._is_short = time.perf_counter() - started < SHORT_WAIT_SECONDS
