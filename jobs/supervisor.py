"""Keeps the processes of a worker alive: a dead one is started again.

All are forks of this process, which has imported everything and begun nothing: they start at once,
and share the memory of what is imported.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess

import structlog
from setproctitle import setproctitle

from automart.background.kinds import Queue
from jobs import housekeeping, worker
from jobs.processes import end_with_parent

log = structlog.get_logger(__name__)

# Offices that hang hold up others only when there are more of them than processes.
PROCESSES = {Queue.WEBHOOKS: 2}
ENDINGS = (signal.SIGTERM, signal.SIGINT)
PATIENCE_SECONDS = 18
SHORTEST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
# A process that lived for so long was not broken from the start.
HEALTHY_AFTER = 30.0


@dataclass
class Child:
    """A process that is to run all the time."""

    name: str
    work: Callable[[], None]
    process: BaseProcess | None = None
    started: float = 0.0
    pause: float = SHORTEST_PAUSE

    def look_after(self) -> None:
        """Start it if it does not run; the next try after a longer pause if it died young."""
        now = time.monotonic()
        if self.process is not None and self.process.exitcode is not None:
            code, self.process = self.process.exitcode, None
            lived = now - self.started
            self.pause = (
                SHORTEST_PAUSE if lived > HEALTHY_AFTER else min(self.pause * 2, LONGEST_PAUSE)
            )
            log.warning("process_ended", name=self.name, code=code, restart_in=self.pause)
            self.started = now
        if self.process is None and (not self.started or now >= self.started + self.pause):
            fork = multiprocessing.get_context("fork")
            self.process = fork.Process(target=_begin, args=(os.getpid(), self))
            # A signal that came before the child heeds it would be lost.
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
            self.process.start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
            self.started = now


def _begin(parent: int, child: Child) -> None:
    # A session of its own: Ctrl-C reaches the supervisor alone, which then stops them all.
    os.setsid()
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
    end_with_parent(parent)
    setproctitle(f"automart worker: {child.name}")
    try:
        child.work()
    except Exception:
        log.exception("process_failed", name=child.name)
        sys.exit(1)


class Supervisor:
    """Runs workers for `queues`, and housekeeping, until SIGTERM or SIGINT."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self._stop = False
        self._children = [
            Child("housekeeping", housekeeping.main),
            *(
                Child(queue, partial(worker.serve, queue))
                for queue in queues
                for _ in range(PROCESSES.get(queue, 1))
            ),
        ]

    def run(self) -> None:
        """Return when all processes have ended, at most 20 seconds after the signal."""
        for number in ENDINGS:
            signal.signal(number, self._request_stop)
        worker.import_jobs()
        gc.freeze()  # collecting would touch what is shared, and so make it everyone's own
        while not self._stop:
            for child in self._children:
                child.look_after()
            time.sleep(0.1)
        self._end()

    def _request_stop(self, *_: object) -> None:
        self._stop = True

    def _end(self) -> None:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                log.warning("process_killed", pid=process.pid)
                process.kill()
