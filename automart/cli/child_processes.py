"""Child processes that run side by side and stop together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Self

from automart.cli.errors import CommandError
from automart.core.parent_death import Restarts

# A worker takes up to 20 seconds to hand back a long job; the web finishes its requests in 30.
SHUTDOWN_SECONDS = 35
KILL_SECONDS = 5
# After that many early ends in a row, another restart will not help.
MAX_EARLY_ENDS = 3

ShowLine = Callable[[str, str], None]
"""Shows a line of output under the name of its process."""


@dataclass
class Program:
    """A program that is kept running.

    It has its own session, so that Ctrl-C does not reach it. On Linux it also ends if this process
    is killed.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    show_line: ShowLine
    files: Sequence[int] = ()
    """File descriptors that it inherits."""
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None
    _started: float = 0.0
    _start_at: float = 0.0
    _restarts: Restarts = field(default_factory=Restarts)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def supervise(self) -> None:
        """Start it if it is not running. Raise `CommandError` if it keeps ending."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            self._handle_end(self._process, now)
        if self._process is None and now >= self._start_at:
            self._start()

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def wait(self, deadline: float) -> None:
        """Return when it has ended. Kill it if it is still running at `deadline`."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.show_line(self.name, "did not end in time and was killed")
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=KILL_SECONDS)
        self._join_reader()

    def _handle_end(self, process: subprocess.Popen[str], now: float) -> None:
        # Its own children may still be running.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        self._join_reader()
        self._process = None
        pause = self._restarts.pause_after(now - self._started)
        if self._restarts.early_ends >= MAX_EARLY_ENDS:
            raise CommandError(
                f"The {self.name} ended {MAX_EARLY_ENDS} times in a row soon after its start. "
                "See its last lines for the reason."
            )
        status = process.returncode
        self.show_line(self.name, f"ended with status {status}, restarting in {pause:g} s")
        self._start_at = now + pause

    def _start(self) -> None:
        tied_to_us = [sys.executable, "-m", "automart.core.parent_death", str(os.getpid())]
        self._process = subprocess.Popen(
            [*tied_to_us, *self.command],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=self.files,
        )
        self._started = time.monotonic()
        arguments = (self._process.stdout,)
        self._reader = threading.Thread(target=self._read, args=arguments, daemon=True)
        self._reader.start()

    def _read(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self.show_line(self.name, line.rstrip())

    def _join_reader(self) -> None:
        if self._reader is not None:
            self._reader.join(timeout=KILL_SECONDS)


class Processes:
    """Keeps programs running while inside this context, and stops them when it is left."""

    def __init__(self, show_line: ShowLine) -> None:
        self._show_line = show_line
        self._programs: list[Program] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for program in self._programs:
            program.terminate()
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        for program in self._programs:
            program.wait(deadline)

    @property
    def all_running(self) -> bool:
        return all(program.is_running for program in self._programs)

    def start(
        self, name: str, command: Sequence[str], env: Mapping[str, str], files: Sequence[int] = ()
    ) -> None:
        """Start a Python program. `command` contains the arguments of the interpreter."""
        program = Program(name, [sys.executable, *command], dict(env), self._show_line, files)
        program.supervise()
        self._programs.append(program)

    def supervise(self) -> None:
        """Restart programs that have ended. Raise `CommandError` if one keeps ending."""
        for program in self._programs:
            program.supervise()
