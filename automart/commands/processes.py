"""Several processes side by side, under one Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Self

# A worker takes up to 20 seconds to hand back a long job; the web finishes its requests in 30.
PATIENCE_SECONDS = 35
KILLED_WITHIN = 5
LOOKED_AFTER_EVERY = 0.1


class Processes:
    """Starts processes, passes each line that they print to `tell`, and ends them together.

    Each is in a session of its own, so that Ctrl-C does not reach it: its end is ordered by leaving
    this context. On Linux they also end if this process is killed.
    """

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a Python program: `command` are the arguments for the interpreter."""
        tied = [sys.executable, "-m", "jobs.processes", str(os.getpid()), sys.executable]
        process = subprocess.Popen(
            [*tied, *command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._running[name] = process
        reader = threading.Thread(target=self._read, args=(name, process.stdout), daemon=True)
        reader.start()
        self._readers.append(reader)

    def wait(self) -> str:
        """Return when one of them has ended, with its name."""
        while True:
            for name, process in self._running.items():
                if process.poll() is not None:
                    return name
            time.sleep(LOOKED_AFTER_EVERY)

    def _read(self, name: str, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self._tell(name, line.rstrip())

    def _end(self) -> None:
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for name, process in self._running.items():
            try:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._tell(name, "does not end, and is killed")
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=KILLED_WITHIN)
        for reader in self._readers:
            reader.join(timeout=KILLED_WITHIN)
