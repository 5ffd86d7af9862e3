"""Even spacing of requests, below a rate in every second."""

from __future__ import annotations

import threading
import time

# The network may deliver requests closer together than they were sent. A little more space keeps
# them below the rate where they arrive.
MARGIN = 1.03


class Stopped(Exception):
    """The wait was interrupted."""


class Pace:
    """Delays threads so that at most `rate` per second continue. With 0 none is delayed."""

    def __init__(self, rate: float, stop: threading.Event) -> None:
        self._interval = MARGIN / rate if rate else 0.0
        self._stop = stop
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when this thread may send its request. Raises `Stopped`."""
        if self._stop.is_set():
            raise Stopped
        if not self._interval:
            return
        with self._lock:
            now = time.monotonic()
            slot = max(now, self._next)
            self._next = slot + self._interval
        self.pause(slot - now)

    def pause(self, seconds: float) -> None:
        """Sleep. Raises `Stopped`."""
        if seconds > 0 and self._stop.wait(seconds):
            raise Stopped
