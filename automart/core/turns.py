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
        self._waiting: deque[_Waiting] = deque()
        self._mutex = Lock()

    def take(self, work: Any = None, *, first: bool = False) -> Any:
        """Wait for a turn, but not for long; `first` before all others that wait.

        Return the work to continue with: `work`, unless another thread exchanged it.
        """
        with self._mutex:
            if self._free:
                self._free -= 1
                _thread.turns = self
                return work
            mine = _Waiting(work)
            if first:
                self._waiting.appendleft(mine)
            else:
                self._waiting.append(mine)
        if self._is_given(mine):
            _thread.turns = self
        return mine.work

    def give_back(self) -> None:
        """Let another thread continue, if this one has a turn."""
        if getattr(_thread, "turns", None) is not self:
            return
        _thread.turns = None
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().turn.release()
            else:
                self._free += 1

    def exchange(self, work: Any) -> Any:
        """Let others go first. Return the work to continue with, as `take` does.

        Threads take long to wake each other. So this one continues with what the next thread waits
        to do, and that one waits with `work`, as the last.
        """
        with self._mutex:
            if self._may_exchange():
                other = self._waiting.popleft()
                next_work, other.work, other.since = other.work, work, time.monotonic()
                self._waiting.append(other)
                return next_work
        self.give_back()
        return self.take(work)

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

    def _may_exchange(self) -> bool:
        """Return whether this thread has a turn, and the next one has not begun its work."""
        has_this = getattr(_thread, "turns", None) is self
        return has_this and bool(self._waiting) and self._waiting[0].work is not None

    def _is_given(self, mine: _Waiting) -> bool:
        while (remaining := mine.since + WAITING_SECONDS - time.monotonic()) > 0:
            if mine.turn.acquire(timeout=remaining):
                return True
        with self._mutex:
            if mine not in self._waiting:
                return True  # it was given at the last moment
            self._waiting.remove(mine)
        return False


class _Waiting:
    """A thread that waits for a turn. `since` is when the wait for `work` began."""

    def __init__(self, work: Any) -> None:
        self.work = work
        self.since = time.monotonic()
        self.turn = Lock()
        self.turn.acquire()


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
