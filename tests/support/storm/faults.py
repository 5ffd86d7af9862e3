"""Faults that happen to a running deployment."""

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

# The delay of the response to a webhook whose sender is killed.
DELAY_SECONDS = 5.0
LONGEST_OUTAGE_SECONDS = 2.0


@dataclass
class Faults:
    """Each method causes and counts one fault. Processes that it has killed are restarted."""

    worker: WorkerProcesses
    redis: RedisServer
    offices: Offices
    random: Random
    counts: Counter[str] = field(default_factory=Counter)

    def worker_dies(self) -> None:
        """Kill all processes of the worker (SIGKILL) and restart it at once."""
        self.counts["the whole worker killed"] += 1
        self.worker.kill_all()
        self.worker.restart()

    def worker_dies_while_sending(self) -> None:
        """Kill the worker when an office has received a webhook and has not responded yet."""
        delay = OfficeOrder(fault=OfficeFault.LATENCY, seconds=DELAY_SECONDS, times=1)
        self.offices.orders.add(delay)
        until(lambda: delay.times == 0)
        self.worker_dies()

    def process_dies(self) -> None:
        """Kill one process of the worker (SIGKILL)."""
        supervisor = self.worker.supervisor
        victim = self.random.choice([supervisor, *self.worker.below()])
        self.counts["one process of the worker killed"] += 1
        if victim == supervisor:
            self.worker.kill_supervisor()
            self.worker.restart()
        else:
            with suppress(
                psutil.NoSuchProcess
            ):  # it may have ended by itself, for example without Redis
                victim.kill()

    def redis_dies(self) -> None:
        """Kill Redis (SIGKILL) until `redis_comes_back` is called."""
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
        self._pause()
        self.redis_comes_back()

    def redis_restarts_empty(self) -> None:
        self.redis_dies()
        self._pause()
        self.redis_comes_back_empty()

    def redis_is_emptied(self) -> None:
        self.counts["Redis emptied"] += 1
        self.redis.empty()

    def office_fails(self) -> None:
        """Let some webhooks fail."""
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
        """Delay the response to some webhooks, and to one beyond the timeout of the sender."""
        self.counts["offices slow"] += 1
        self.offices.order(OfficeFault.LATENCY, seconds=0.5, times=self.random.randint(1, 10))
        self.offices.order(OfficeFault.TIMEOUT, times=1)

    def offices_close(self) -> None:
        """Close the offices and their connections for a moment."""
        self.counts["all offices closed"] += 1
        self.offices.stop()
        self._pause()
        self.offices.start()

    def _pause(self) -> None:
        time.sleep(self.random.uniform(0, LONGEST_OUTAGE_SECONDS))
