"""Real processes of the product that tests observe and kill."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psutil

from automart.core.config import Settings
from tests.support.forks import ROOT, Fork
from tests.support.limits import LIMIT

T = TypeVar("T")
TITLE = "automart worker: "


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables of `settings`."""
    return os.environ | {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "SECRET_KEY": settings.secret_key,
        "PUBLIC_URL": settings.public_url or "",
        "NHTSA_URL": settings.nhtsa_url,
        "NHTSA_REQUESTS_PER_SECOND": str(settings.nhtsa_requests_per_second),
        "WEBHOOK_ALLOW_PRIVATE": "1" if settings.webhook_allow_private else "0",
        "NOTIFY_URLS": " ".join(settings.notify_urls),
        "LOG_FORMAT": "console",
        "PYTHONPATH": str(ROOT),
    }


def until(found: Callable[[], T], seconds: float = LIMIT) -> T:
    """Call `found` until its result is true, and return that. Fail after a time limit."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{found} did not become true within {seconds} seconds")


SHORT_LEASES = "import tests.support.short_leases\n"


class WorkerProcesses:
    """A `worker.py` with all its processes. `patch` is Python code that it runs first."""

    def __init__(self, settings: Settings, *arguments: str, patch: str = "") -> None:
        self._arguments = arguments
        self._patch = SHORT_LEASES + patch
        self._settings = settings
        self.log = settings.instance / "worker.log"
        self._spawn()

    def _spawn(self) -> None:
        self.process = Fork(
            "worker.py",
            self._arguments,
            env=environment(self._settings),
            folder=self._settings.instance,
            log=self.log,
            patch=self._patch,
        )
        self.supervisor = psutil.Process(self.process.pid)

    def restart(self) -> None:
        self._spawn()

    def below(self, name: str = "") -> list[psutil.Process]:
        """Return the processes below the supervisor: all, of a queue, or of housekeeping."""
        found = _alive(self.supervisor.children(recursive=True))
        return [process for process in found if f"{TITLE}{name}" in _title(process)]

    def rq_worker(self, queue: str = "long") -> psutil.Process:
        """Return RQ's worker of a queue, the parent of the processes that run its jobs."""
        return until(lambda: self._rq_worker(queue))

    def horse(self, queue: str = "long") -> psutil.Process:
        """Return the process that runs a job of a queue."""
        return until(lambda: next(iter(_alive(self.rq_worker(queue).children())), None))

    def _rq_worker(self, queue: str) -> psutil.Process | None:
        mine = self.below(queue)
        return next((p for p in mine if p.ppid() == self.supervisor.pid), None)

    def kill_all(self) -> None:
        """Kill all processes at once (SIGKILL), as when a host dies."""
        self.supervisor.suspend()  # so that it sees none of the others die, and starts no new ones
        below = _alive(self.supervisor.children(recursive=True))
        for process in below:
            process.suspend()
        for process in [self.supervisor, *below]:
            process.kill()
        self.process.wait()

    def kill_supervisor(self) -> None:
        """Kill only the supervisor (SIGKILL). The other processes notice it."""
        self.supervisor.kill()
        self.process.wait()

    def terminate(self) -> float:
        """Send SIGTERM, as a deployment does. Return the seconds until the end."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return time.monotonic() - started

    def stop(self) -> None:
        if self.process.poll() is None:
            self.terminate()


@contextmanager
def worker_running(
    settings: Settings, *arguments: str, patch: str = ""
) -> Iterator[WorkerProcesses]:
    worker = WorkerProcesses(settings, *arguments, patch=patch)
    try:
        yield worker
    finally:
        worker.stop()


def is_alive(process: psutil.Process) -> bool:
    """Return whether the process is running, and not a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if is_alive(process)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
