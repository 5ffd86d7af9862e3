"""Keeps the processes of a worker alive: a dead one is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from automart.background.kinds import Queue

log = structlog.get_logger(__name__)

# Offices that hang hold up others only when there are more of them than processes.
PROCESSES = {Queue.WEBHOOKS: 2}
PATIENCE_SECONDS = 18
SHORTEST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
# A process that lived for so long was not broken from the start.
HEALTHY_AFTER = 30.0


@dataclass
class Child:
    """A process that is to run all the time."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = SHORTEST_PAUSE

    def look_after(self) -> None:
        """Start it if it does not run; the next try after a longer pause if it died young."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            code, self.process = self.process.returncode, None
            lived = now - self.started
            self.pause = (
                SHORTEST_PAUSE if lived > HEALTHY_AFTER else min(self.pause * 2, LONGEST_PAUSE)
            )
            log.warning("process_ended", name=self.name, code=code, restart_in=self.pause)
            self.started = now
        if self.process is None and (not self.started or now >= self.started + self.pause):
            # A session of its own: Ctrl-C reaches the supervisor alone, which then stops them all.
            self.process = subprocess.Popen(self.command, start_new_session=True)
            self.started = now


class Supervisor:
    """Runs workers for `queues`, and housekeeping, until SIGTERM or SIGINT."""

    def __init__(self, queues: Sequence[Queue]) -> None:
        self._stop = False
        me = str(os.getpid())  # for them to notice when it is gone
        self._children = [
            Child("housekeeping", [sys.executable, "-m", "jobs.housekeeping", me]),
            *(
                Child(queue, [sys.executable, "-m", "jobs.worker", me, queue])
                for queue in queues
                for _ in range(PROCESSES.get(queue, 1))
            ),
        ]

    def run(self) -> None:
        """Return when all processes have ended, at most 20 seconds after the signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)
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
            try:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process_killed", pid=process.pid)
                process.kill()
