"""A function that is called every few seconds while a process works on something."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Periodic:
    """A thread that calls the function of the current context again and again.

    It serves one context after the other, and ends when it finds none: a thread for each takes a
    fifth of the time of a short job. After a fork, the child has a thread of its own.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._function: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def calling(self, function: Callable[[], None], interval: float) -> Iterator[None]:
        """Call `function` about every `interval` seconds inside this context."""
        with self._lock:
            self._function = function
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, args=(interval,), name=self._name, daemon=True
                )
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._function = None

    def _run(self, interval: float) -> None:
        while True:
            time.sleep(interval)
            with self._lock:
                function = self._function
                if function is None:
                    self._thread = None
                    return
            function()
