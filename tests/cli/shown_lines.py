"""The lines that programs write, as `automart up` gets them."""

from __future__ import annotations

import threading

from tests.support.limits import LIMIT

Line = tuple[str, str]


class ShownLines:
    """Collects the lines of programs. It is called by several threads."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._changed = threading.Condition()

    def __call__(self, name: str, line: str) -> None:
        with self._changed:
            self._lines.append((name, line))
            self._changed.notify_all()

    def of(self, name: str) -> list[str]:
        with self._changed:
            return [line for shown, line in self._lines if shown == name]

    def wait_for(self, name: str, line: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: (name, line) in self._lines, LIMIT)
