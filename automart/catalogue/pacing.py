"""When requests may be sent: evenly spaced, below a rate in every second, and not in a pause."""

from __future__ import annotations

import threading
import time
from typing import Protocol

# The network may deliver requests closer together than they were sent. A little more space keeps
# them below the rate where they arrive.
MARGIN = 1.03
# The part of an interval by which the sum of several may miss their multiple.
ROUNDING = 0.01


class Stopped(Exception):
    """The wait was interrupted."""


class Slots(Protocol):
    """Times for requests that several processes share."""

    def reserve(self, wait: float, seconds: float) -> float:
        """Reserve the next `seconds` that are free and begin in `wait` seconds or later.

        Return in how many seconds they begin. What the last call reserved counts as free: its end
        may be left over, and `wait` is after the last request.
        """


class Pace:
    """Delays threads so that at most `rate` per second continue. With 0 none is delayed.

    With `slots`, all processes that share them keep the rate together. They are reserved for
    `ahead` requests at once, so that the reservations cost nothing.
    """

    def __init__(
        self, rate: float, stop: threading.Event, slots: Slots | None = None, *, ahead: int = 1
    ) -> None:
        self._interval = MARGIN / rate if rate else 0.0
        self._stop = stop
        self._slots = slots
        self._ahead = ahead
        self._lock = threading.Lock()
        self._next = 0.0
        self._last_reserved = 0.0

    def wait(self) -> None:
        """Return when this thread may send its request. Raises `Stopped`."""
        if self._stop.is_set():
            raise Stopped
        if not self._interval:
            return
        with self._lock:
            now = time.monotonic()
            slot = self._reserved(now, max(now, self._next))
            self._next = slot + self._interval
        self.pause(slot - now)

    def _reserved(self, now: float, slot: float) -> float:
        """Return the first reserved time from `slot` on. Reserve more if there is none."""
        if self._slots is None or slot <= self._last_reserved:
            return slot
        slot = now + self._slots.reserve(slot - now, self._ahead * self._interval)
        self._last_reserved = slot + (self._ahead - 1 + ROUNDING) * self._interval
        return slot

    def pause(self, seconds: float) -> None:
        """Sleep. Raises `Stopped`."""
        if seconds > 0 and self._stop.wait(seconds):
            raise Stopped


class PauseTooLong(Exception):
    """The pauses that were ordered add up to more than is allowed. The message is the reason."""


class Pauses:
    """Pauses that hold for all threads, and add up to at most `longest` seconds."""

    def __init__(self, longest: float, stop: threading.Event) -> None:
        self._left = longest
        self._stop = stop
        self._lock = threading.Lock()
        self._until = 0.0
        self._reason: str | None = None

    def order(self, seconds: float, reason: str) -> None:
        """Pause for `seconds` from now. Raises `PauseTooLong`, as all later calls then do."""
        with self._lock:
            now = time.monotonic()
            longer = now + seconds - max(now, self._until)
            if longer > self._left:
                self._reason = self._reason or reason
                raise PauseTooLong(reason)
            if longer > 0:
                self._left -= longer
                self._until = now + seconds

    @property
    def are_on(self) -> bool:
        return self._reason is not None or time.monotonic() < self._until

    def wait(self) -> None:
        """Return when no pause holds. Raises `PauseTooLong`, or `Stopped`."""
        while True:
            if self._reason is not None:
                raise PauseTooLong(self._reason)
            left = self._until - time.monotonic()
            if left <= 0:
                return
            if self._stop.wait(min(left, 1.0)):
                raise Stopped
