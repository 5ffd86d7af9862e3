"""What goes wrong around the application."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psutil

from sandbox.office import Offices
from sandbox.office_faults import OfficeFault, OfficeOrder
from tests.support.processes import WorkerProcesses, until
from tests.support.redis_server import RedisServer

# An office thinks for so long about the webhook during which its sender is killed.
THINKS_SECONDS = 5.0
LONGEST_OUTAGE_SECONDS = 2.0


@dataclass
class Misfortunes:
    """Each method is one, which is counted; the processes are back, or will be, when it returns."""

    worker: WorkerProcesses
    redis: RedisServer
    offices: Offices
    random: Random
    counts: Counter[str] = field(default_factory=Counter)

    def worker_dies(self) -> None:
        """kill -9 for the whole tree; somebody starts it again at once."""
        self.counts["the whole worker killed"] += 1
        self.worker.kill_all()
        self.worker.restart()

    def worker_dies_while_sending(self) -> None:
        """The same, when an office has got a webhook and has not answered yet."""
        thinks = OfficeOrder(fault=OfficeFault.LATENCY, seconds=THINKS_SECONDS, times=1)
        self.offices.orders.add(thinks)
        until(lambda: thinks.times == 0)
        self.worker_dies()

    def process_dies(self) -> None:
        """kill -9 for any one process of the worker."""
        supervisor = self.worker.supervisor
        victim = self.random.choice([supervisor, *self.worker.below()])
        self.counts["one process of the worker killed"] += 1
        if victim == supervisor:
            self.worker.kill_supervisor()
            self.worker.restart()
        else:
            with suppress(psutil.NoSuchProcess):  # it has ended by itself, for want of Redis, say
                victim.kill()

    def redis_dies(self) -> None:
        """kill -9, until somebody calls `redis_comes_back`."""
        self.counts["Redis killed"] += 1
        self.redis.kill()

    def redis_comes_back(self) -> None:
        self.redis.start()

    def redis_comes_back_empty(self) -> None:
        self.counts["Redis emptied"] += 1
        self.redis.lose_everything()
        self.redis.start()

    def redis_restarts(self) -> None:
        self.redis_dies()
        self._some_time()
        self.redis_comes_back()

    def redis_restarts_empty(self) -> None:
        self.redis_dies()
        self._some_time()
        self.redis_comes_back_empty()

    def redis_is_emptied(self) -> None:
        self.counts["Redis emptied"] += 1
        self.redis.empty()

    def office_fails(self) -> None:
        """Some webhooks are answered with an error, or not at all."""
        self.counts["offices failed"] += 1
        fault, status = self.random.choice(
            [
                (OfficeFault.STATUS, 500),
                (OfficeFault.STATUS, 429),
                (OfficeFault.REDIRECT, 302),
                (OfficeFault.DISCONNECT, None),
                (OfficeFault.NO_HTTP, None),
            ]
        )
        self.offices.order(fault, status=status, times=self.random.randint(1, 10))

    def office_is_slow(self) -> None:
        """Some webhooks are answered late; one not until the sender's patience has ended."""
        self.counts["offices slow"] += 1
        self.offices.order(OfficeFault.LATENCY, seconds=0.5, times=self.random.randint(1, 10))
        self.offices.order(OfficeFault.TIMEOUT, times=1)

    def offices_close(self) -> None:
        """Nothing listens there for a moment, and what was open is broken off."""
        self.counts["all offices closed"] += 1
        self.offices.stop()
        self._some_time()
        self.offices.start()

    def _some_time(self) -> None:
        time.sleep(self.random.uniform(0, LONGEST_OUTAGE_SECONDS))
