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

    A process that was started with Ctrl-C ignored (in the background of a script) goes on ignoring
    it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Undo `end_at_interrupt` for a while: Ctrl-C raises KeyboardInterrupt, so that a prompt or a
    progress bar restores the terminal."""
    was_default = signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    if was_default:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if was_default:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


class Stop(Protocol):
    """Says when to stop: an event, or `Endings`."""

    def wait(self, timeout: float) -> bool: ...


class Endings:
    """Notices the signals that end a process, from entering this context on.

    Signals that were ignored when the process started (`nohup`) stay ignored. It has the methods of
    an event, and may be waited for in any thread. Unlike an event it may be set by a handler: the
    handler takes no lock that the interrupted code may hold, but writes to a pipe.
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
            # A process that was told to end is not interrupted again on its last steps.
            signal.signal(number, signal.SIG_IGN if self._is_set else handler)

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Do what a signal does."""
        self._is_set = True
        os.write(self._write, b".")

    def wait(self, timeout: float) -> bool:
        """Return when a signal has come, or after `timeout` seconds. True if one has come."""
        if not self._is_set:
            select.select([self._read], [], [], timeout)
        return self._is_set

    def _note(self, *_: object) -> None:
        if not self._is_set:  # the pipe would fill
            self.set()
