"""Several processes side by side, under one Ctrl-C."""

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
PATIENCE_SECONDS = 35
KILLED_WITHIN = 5
# A process that ends so often soon after its start will not do better the next time.
MOST_EARLY_ENDS = 3

Tell = Callable[[str, str], None]


@dataclass
class Program:
    """A program that is to run all the time. It is in a session of its own, so that Ctrl-C does not
    reach it. On Linux it also ends if this process is killed."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    tell: Tell
    files: Sequence[int] = ()
    """Descriptors of open files that it inherits."""
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None
    _started: float = 0.0
    _start_at: float = 0.0
    _restarts: Restarts = field(default_factory=Restarts)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def look_after(self) -> None:
        """Start it if it does not run. Raises `CommandError` if that does not help."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            self._note_end(self._process, now)
        if self._process is None and now >= self._start_at:
            self._start()

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def wait(self, deadline: float) -> None:
        """Return when it has ended. It is killed if it has not by `deadline`."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.tell(self.name, "does not end, and is killed")
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=KILLED_WITHIN)
        self._join_reader()

    def _note_end(self, process: subprocess.Popen[str], now: float) -> None:
        # What it started may have outlived it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        self._join_reader()
        self._process = None
        pause = self._restarts.pause_after(now - self._started)
        if self._restarts.early_ends >= MOST_EARLY_ENDS:
            raise CommandError(
                f"The {self.name} ended {MOST_EARLY_ENDS} times in a row soon after its start. "
                "Its last lines say why."
            )
        how = f"status {process.returncode}"
        self.tell(self.name, f"has ended with {how}, and is started again in {pause:g} s")
        self._start_at = now + pause

    def _start(self) -> None:
        tied = [sys.executable, "-m", "automart.core.parent_death", str(os.getpid())]
        self._process = subprocess.Popen(
            [*tied, *self.command],
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
                self.tell(self.name, line.rstrip())

    def _join_reader(self) -> None:
        if self._reader is not None:
            self._reader.join(timeout=KILLED_WITHIN)


class Processes:
    """Starts programs, starts them again if they end, and ends them when this context is left."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
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
        deadline = time.monotonic() + PATIENCE_SECONDS
        for program in self._programs:
            program.wait(deadline)

    @property
    def are_well(self) -> bool:
        return all(program.is_running for program in self._programs)

    def start(
        self, name: str, command: Sequence[str], env: Mapping[str, str], files: Sequence[int] = ()
    ) -> None:
        """Start a Python program: `command` are the arguments for the interpreter."""
        program = Program(name, [sys.executable, *command], dict(env), self._tell, files)
        program.look_after()
        self._programs.append(program)

    def look_after(self) -> None:
        """Start what has ended. Raises `CommandError` if one ends again and again."""
        for program in self._programs:
            program.look_after()
