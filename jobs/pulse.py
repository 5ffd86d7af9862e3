"""Signs of life: a process that hangs without dying is noticed by the one that started it."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Far more than the longest time for which a healthy process is silent: fifteen seconds, in which a
# worker waits for a Redis that hangs.
SILENCE_ALLOWED = 60.0
BEATS_EVERY = 5.0


class Pulse:
    """A moment by which a process promises its next sign of life. Forks share it."""

    def __init__(self) -> None:
        self._due = multiprocessing.get_context("fork").RawValue("d", float("inf"))

    def beat(self, silence: float | None = None) -> None:
        """Give a sign of life. The next one follows within `silence` seconds."""
        self._due.value = time.monotonic() + (SILENCE_ALLOWED if silence is None else silence)

    @property
    def is_overdue(self) -> bool:
        return time.monotonic() > float(self._due.value)

    @contextmanager
    def kept_up(self, seconds: float) -> Iterator[None]:
        """Beat from a thread, for at most `seconds`, while this thread works on a job."""
        ended = threading.Event()
        timer = threading.Thread(target=self._keep_up, args=(seconds, ended), daemon=True)
        self.beat()
        timer.start()
        try:
            yield
        finally:
            ended.set()
            self.beat()

    def _keep_up(self, seconds: float, ended: threading.Event) -> None:
        last = time.monotonic() + seconds
        while not ended.wait(BEATS_EVERY) and time.monotonic() < last:
            self.beat()
