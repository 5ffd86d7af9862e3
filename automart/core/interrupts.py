"""Ctrl-C and the other signals that end a process, without handlers that raise.

An exception from a handler appears wherever the interpreter happens to be, and is lost if that is a
destructor or the callback of a weak reference. This module imports nothing of the application, so
that entry points can import it first.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_at_interrupt() -> None:
    """Let Ctrl-C end this process at once, by the signal itself and without a traceback.

    A process that was started with Ctrl-C ignored, as in the background of a script, ignores it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Undo `end_at_interrupt` inside this context: Ctrl-C raises KeyboardInterrupt, so that prompts
    and progress bars restore the terminal."""
    was_default = signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    if was_default:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if was_default:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


class Stop(Protocol):
    """A request to stop: an event, or `Endings`."""

    def wait(self, timeout: float) -> bool: ...


class Endings:
    """Is set by the signals that end a process, while inside this context.

    Signals that were ignored when the process started (`nohup`) stay ignored. It has the methods of
    an event, and any thread can wait for it. Unlike an event, a signal handler can set it: the
    handler writes to a pipe, and takes no lock that the interrupted code may hold.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = {
            number: handler
            for number in ENDINGS
            if (handler := signal.getsignal(number)) is not signal.SIG_IGN
        }

    def __enter__(self) -> Self:
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # A process that is ending must not be interrupted again.
            signal.signal(number, signal.SIG_IGN if self._is_set else handler)

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Request the end, as a signal does."""
        self._is_set = True
        os.write(self._write, b".")

    def wait(self, timeout: float) -> bool:
        """Wait for a signal, at most `timeout` seconds. Return whether one has come."""
        if not self._is_set:
            select.select([self._read], [], [], timeout)
        return self._is_set

    def _note(self, *_: object) -> None:
        if not self._is_set:  # otherwise the pipe would fill up
            self.set()
