"""Programs as a user starts them. Tests read their output, and none is left running."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.limits import LIMIT

ROOT = Path(__file__).parent.parent.parent


class Program:
    """A running `automart …`, with its own folder and environment."""

    def __init__(self, arguments: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "automart", *arguments],
            cwd=folder,
            env=clean_environment() | dict(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._output = ""
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        with self._changed:
            return self._output

    def wait_for(self, text: str) -> None:
        """Return when it has printed `text`."""
        with self._changed:
            self._changed.wait_for(lambda: text in self._output or self._ended, LIMIT)
            assert text in self._output, f"{text!r} is not in:\n{self._output}"

    def end(self, number: int) -> int:
        """Send a signal. Return the exit status when the program has ended, its output read."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        return status

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._output += line
                self._changed.notify_all()
        self.process.stdout.close()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextmanager
def automart(
    *arguments: str, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Start `automart …`. At the end, all its processes are ended."""
    program = Program(arguments, folder, env or {})
    try:
        yield program
    finally:
        if program.process.poll() is None:
            descendants = program.descendants()
            program.process.kill()
            for process in descendants:
                process.kill()
        program.wait()


def clean_environment() -> dict[str, str]:
    """Return the environment of this process, without settings of Automart."""
    settings = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PUBLIC_URL", "LOG_FORMAT", "PORT")
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in settings and not name.startswith(("NHTSA_", "VEHICLE_"))
    }
    return env | {"PYTHONPATH": str(ROOT)}
