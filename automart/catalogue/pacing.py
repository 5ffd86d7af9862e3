"""Even spacing of requests: never more than so many in any second."""

from __future__ import annotations

import threading
import time

# Requests are spaced a little wider than the rate asks for, so that what the network squeezes
# together on its way still arrives below it.
MARGIN = 1.03


class Stopped(Exception):
    """The wait was broken off."""


class Pace:
    """Lets threads through one by one, `rate` a second; 0 lets all through at once."""

    def __init__(self, rate: float, stop: threading.Event) -> None:
        self._interval = MARGIN / rate if rate else 0.0
        self._stop = stop
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when it is this thread's turn. Raises `Stopped`."""
        if self._stop.is_set():
            raise Stopped
        if not self._interval:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        self.pause(turn - now)

    def pause(self, seconds: float) -> None:
        """Sleep. Raises `Stopped`."""
        if seconds > 0 and self._stop.wait(seconds):
            raise Stopped
