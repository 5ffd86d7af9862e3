"""Supervises the processes of a worker: one that ended or hangs is restarted.

All are forks of this process, which has imported everything and opened nothing. They start at once,
and share the memory of the imported modules.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess
from typing import cast

import structlog
from setproctitle import setproctitle

from automart.background.kinds import Queue
from automart.background.maintenance import HOUSEKEEPING
from automart.core.interrupts import ENDINGS, Endings
from automart.core.parent_death import Restarts, end_with_parent
from jobs import housekeeping, rq_workers
from jobs.pulse import Pulse

log = structlog.get_logger(__name__)

# An office that hangs occupies a process for ten seconds, and the others are served by the rest.
# Each process takes 20 MB.
PROCESSES = {Queue.WEBHOOKS: 8}
SHUTDOWN_SECONDS = 18
ROUND_SECONDS = 0.1
# A process that hangs writes where each of its threads is to its log, before it is killed.
SHOW_STACKS = signal.SIGUSR1
STACKS_SECONDS = 0.5
# After a longer round, for example when the machine was suspended, all heartbeats are late.
MAX_ROUND_SECONDS = 5.0


@dataclass
class Child:
    """A process that is kept running."""

    name: str
    work: Callable[[Pulse], None]
    process: BaseProcess | None = None
    started: float = 0.0
    pause: float = 0.0
    restarts: Restarts = field(default_factory=Restarts)
    pulse: Pulse = field(default_factory=Pulse)

    def supervise(self) -> None:
        """Start it if it is not running. Kill it if it hangs: the next round restarts it."""
        now = time.monotonic()
        if self.process is not None and self.process.exitcode is not None:
            code, self.process = self.process.exitcode, None
            self.pause = self.restarts.pause_after(now - self.started)
            log.warning("process_ended", name=self.name, code=code, restart_in=self.pause)
            self.started = now
        if self.process is None and now >= self.started + self.pause:
            self._start()
        elif self.process is not None and self.pulse.is_overdue:
            pid = cast("int", self.process.pid)
            log.warning("process_hangs", name=self.name, pid=pid)
            os.kill(pid, SHOW_STACKS)
            self.process.join(STACKS_SECONDS)
            self.process.kill()
            self.process.join()

    def _start(self) -> None:
        fork = multiprocessing.get_context("fork")
        self.process = fork.Process(target=_run_child, args=(os.getpid(), self))
        self.pulse.beat()
        # A signal that arrives before the child has its handlers would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
        self.process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
        self.started = time.monotonic()


def _run_child(parent: int, child: Child) -> None:
    # With a session of its own, Ctrl-C reaches only the supervisor, which then stops all children.
    os.setsid()
    faulthandler.register(SHOW_STACKS)
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
    end_with_parent(parent)
    setproctitle(f"automart worker: {child.name}")
    try:
        child.work(child.pulse)
    except Exception:
        log.exception("process_failed", name=child.name)
        sys.exit(1)


class Supervisor:
    """Runs workers for `queues`, and housekeeping, until a signal ends it."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self._children = [
            Child(HOUSEKEEPING, housekeeping.main),
            *(
                Child(queue, partial(rq_workers.serve, queue))
                for queue in queues
                for _ in range(PROCESSES.get(queue, 1))
            ),
        ]

    def run(self) -> None:
        """Run until a signal. Return when all processes have ended, at most 20 seconds later."""
        with Endings() as stop:
            rq_workers.import_jobs()
            gc.enable()
            gc.freeze()  # a collection would write to shared memory, and so copy it
            last = time.monotonic()
            while not stop.wait(ROUND_SECONDS):
                self._grant_time(time.monotonic() - last)
                last = time.monotonic()
                for child in self._children:
                    child.supervise()
            self._end()

    def _grant_time(self, round_took: float) -> None:
        if round_took > MAX_ROUND_SECONDS:
            for child in self._children:
                child.pulse.beat()

    def _end(self) -> None:
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                log.warning("process_killed", pid=process.pid)
                process.kill()
                process.join()
