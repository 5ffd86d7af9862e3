"""RQ's worker, as this house needs it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import redis
import rq
import structlog
from flask import Flask
from redis.backoff import ConstantBackoff
from redis.client import Pipeline
from redis.retry import Retry
from rq import worker_registration
from rq.exceptions import StopRequested
from setproctitle import setproctitle
from sqlalchemy.orm import configure_mappers
from werkzeug.utils import import_string

from automart import create_app
from automart.background.kinds import KINDS, Queue
from automart.background.queues import RUNNER
from automart.core.config import Settings
from automart.core.db import db
from automart.core.parent_death import end_with_parent
from jobs.context import stopping
from jobs.pulse import Pulse

log = structlog.get_logger(__name__)

# A process of its own for each job costs more than a short job does, so that only long ones have
# one: they may be killed or cancelled in the middle, and may leave memory behind.
FORKED = frozenset({Queue.LONG})
WORKER_TTL = 60
LOOKED_AFTER_EVERY = 5
# How long a job may go on after its time limit, whose alarm only interrupts Python code.
LIMIT_OVERRUN = 30


class _Worker(rq.worker.BaseWorker):
    """What both kinds of worker have in common: they serve one queue."""

    max_connection_wait_time = 5.0
    dequeue_timeout = LOOKED_AFTER_EVERY

    def __init__(self, app: Flask, queue: Queue, connection: redis.Redis, pulse: Pulse) -> None:
        super().__init__(
            [queue],
            connection=connection,
            worker_ttl=WORKER_TTL,
            job_monitoring_interval=LOOKED_AFTER_EVERY,
        )
        self._app = app
        self._queue = queue
        self._pulse = pulse

    def procline(self, message: str) -> None:
        setproctitle(f"automart worker: {self._queue}: {message}")

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Also register anew with a Redis that was emptied. RQ registers once, at the start."""
        self._pulse.beat()
        if self._stop_requested and self.get_state() != rq.worker.WorkerStatus.BUSY:
            raise StopRequested
        super().heartbeat(timeout, pipeline)
        if self.connection.sismember(self.redis_workers_keys, self.key):
            return
        with self.connection.pipeline() as registration:
            registration.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, registration)
            registration.execute()

    def _shutdown(self) -> None:
        """Also note the request: RQ raises an exception in its signal handler, which is lost if
        the interpreter was in a destructor."""
        self._stop_requested = True
        super()._shutdown()  # type: ignore[no-untyped-call]

    def subscribe(self) -> None:
        """Listen to no commands: RQ would do so in a thread, beside which nothing may fork."""


class InlineWorker(_Worker, rq.SimpleWorker):
    """Runs each job in this process. If it is killed in the middle of a job, its supervisor starts
    it again, and the job is started again when its lease has run out."""

    def perform_job(self, job: Any, queue: Any) -> bool:
        limit = job.timeout + LIMIT_OVERRUN
        with self._app.app_context(), self._pulse.kept_up(limit):
            return bool(super().perform_job(job, queue))

    def handle_warm_shutdown_request(self) -> None:
        stopping.set()


class ForkingWorker(_Worker, rq.Worker):
    """Runs each job in a fork, which heeds SIGTERM, ends with its parent, is killed if it hangs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pulse_of_job = Pulse()

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        self._pulse_of_job.beat()
        super().fork_work_horse(job, queue)

    def maintain_heartbeats(self, job: Any) -> None:
        if self._pulse_of_job.is_overdue:
            log.warning("job_hangs", job_id=job.id, pid=self.horse_pid)
            self.kill_horse()
        super().maintain_heartbeats(job)

    def handle_warm_shutdown_request(self) -> None:
        if self.horse_pid:
            os.kill(self.horse_pid, signal.SIGTERM)

    def main_work_horse(self, job: Any, queue: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        end_with_parent(self.pid or os.getppid())
        limit = job.timeout + LIMIT_OVERRUN
        with self._app.app_context(), self._pulse_of_job.kept_up(limit):
            # A connection belongs to the process that opened it.
            db.engine.dispose(close=False)
            super().main_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def import_jobs() -> None:
    """Import all that jobs need, so that no fork has to."""
    for kind in KINDS.values():
        import_string(kind.function)
    import_string(RUNNER)
    configure_mappers()


def serve(queue: Queue, pulse: Pulse) -> None:
    """Work on the jobs of `queue` until SIGTERM."""
    app = create_app()
    settings: Settings = app.extensions["settings"]
    connection = redis.Redis.from_url(
        settings.redis_url, socket_connect_timeout=5, retry=Retry(ConstantBackoff(0.1), 1)
    )
    log.info("worker_started", queue=queue)
    worker = ForkingWorker if queue in FORKED else InlineWorker
    try:
        worker(app, queue, connection, pulse).work(logging_level="WARNING")
    except redis.ConnectionError as error:
        log.warning("redis_unavailable", error=str(error))
        sys.exit(1)  # the supervisor tries again
