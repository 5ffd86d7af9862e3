"""Heartbeats, by which a process detects that one of its children hangs."""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.periodic import Periodic

# A healthy process may be silent for thirty seconds, while a worker waits for a Redis that hangs.
MAX_SILENCE = 60.0
BEAT_INTERVAL = 5.0
_DOUBLE_SIZE = 8


class Pulse:
    """The time when the next heartbeat of a process is due, in memory that forks share.

    multiprocessing's shared values are not used: they need a writable folder for a file.
    """

    def __init__(self) -> None:
        self._memory = memoryview(mmap.mmap(-1, _DOUBLE_SIZE)).cast("d")
        self._beats = Periodic("pulse")
        self._set_due(float("inf"))

    def beat(self, silence: float | None = None) -> None:
        """Send a heartbeat. The next one is due in `silence` seconds (default: `MAX_SILENCE`)."""
        self._set_due(time.monotonic() + (MAX_SILENCE if silence is None else silence))

    @property
    def is_overdue(self) -> bool:
        return time.monotonic() > self._memory[0]

    @contextmanager
    def kept_beating(self, seconds: float) -> Iterator[None]:
        """Send heartbeats from a thread inside this context, for at most `seconds`."""
        last = time.monotonic() + seconds

        def beat() -> None:
            if time.monotonic() < last:
                self.beat()

        self.beat()
        try:
            with self._beats.calling(beat, BEAT_INTERVAL):
                yield
        finally:
            self.beat()

    def _set_due(self, due: float) -> None:
        # One aligned write of eight bytes: a reader in another process sees the old time or the
        # new one. `struct.pack_into` would write zeros first, and a reader would see those.
        self._memory[0] = due
