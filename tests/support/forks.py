"""Programs of the product, forked from a process that has imported it already.

Starting Python and importing the product takes over a second of processor time. The fork server
does that once for each test process.
"""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.limits import LIMIT

ROOT = Path(__file__).parent.parent.parent

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["__main__", "tests.support.preloaded"])


class Fork:
    """A running program, in its own folder and environment. It writes to `log`."""

    def __init__(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path,
        log: Path,
        patch: str = "",
    ) -> None:
        """Run `program`: a module, or a file of the project if its name ends with ".py".

        `patch` is Python code that runs first.
        """
        _start_server()
        self._process = _context.Process(
            target=_run, args=(program, list(arguments), dict(env), folder, log, patch)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal. None while the program runs."""
        return self._process.exitcode

    def wait(self, timeout: float = LIMIT) -> int:
        self._process.join(timeout)
        status = self.poll()
        assert status is not None, f"The program did not end within {timeout} seconds."
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def output_of(
    program: str, arguments: Sequence[str], *, env: Mapping[str, str], folder: Path, patch: str = ""
) -> tuple[int, str]:
    """Run a program to its end. Return its exit status, and all that it printed."""
    log = folder / "output.log"
    status = Fork(program, arguments, env=env, folder=folder, log=log, patch=patch).wait()
    return status, log.read_text()


def _start_server() -> None:
    # The server reads PYTHONPATH when it starts, before it imports anything.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _run(
    program: str, arguments: list[str], env: dict[str, str], folder: Path, log: Path, patch: str
) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = [program, *arguments]
    try:
        exec(patch, {})  # noqa: S102 - code of a test
        if program.endswith(".py"):
            runpy.run_path(str(ROOT / program), run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    finally:
        # multiprocessing ends its processes without them.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
