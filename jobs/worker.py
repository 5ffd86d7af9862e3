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
from setproctitle import setproctitle
from sqlalchemy.orm import configure_mappers
from werkzeug.utils import import_string

from automart import create_app
from automart.background.kinds import Kind, Queue
from automart.background.queues import RUNNER
from automart.config import Settings
from automart.db import db
from jobs.processes import end_with_parent
from jobs.running import stopping

log = structlog.get_logger(__name__)

# A process of its own for each job costs more than a short job does, so that only long ones have
# one: they may be killed or cancelled in the middle, and may leave memory behind.
FORKED = frozenset({Queue.LONG})
# Redis hears of an idle worker every 15 seconds less than this.
WORKER_TTL = 60


class _Worker(rq.worker.BaseWorker):
    """What both kinds of worker have in common: they serve one queue."""

    max_connection_wait_time = 5.0

    def __init__(self, app: Flask, queue: Queue, connection: redis.Redis) -> None:
        super().__init__([queue], connection=connection, worker_ttl=WORKER_TTL)
        self._app = app
        self._queue = queue

    def procline(self, message: str) -> None:
        setproctitle(f"automart worker: {self._queue}: {message}")

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Also register anew with a Redis that was emptied. RQ registers once, at the start."""
        super().heartbeat(timeout, pipeline)
        if self.connection.sismember(self.redis_workers_keys, self.key):
            return
        with self.connection.pipeline() as registration:
            registration.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, registration)
            registration.execute()

    def subscribe(self) -> None:
        """Listen to no commands: RQ would do so in a thread, beside which nothing may fork."""


class InlineWorker(_Worker, rq.SimpleWorker):
    """Runs each job in this process. One that is killed in the middle of a job is started again by
    its supervisor, and the job when its lease has run out."""

    def perform_job(self, job: Any, queue: Any) -> bool:
        with self._app.app_context():
            return bool(super().perform_job(job, queue))

    def handle_warm_shutdown_request(self) -> None:
        stopping.set()


class ForkingWorker(_Worker, rq.Worker):
    """Runs each job in a fork that heeds SIGTERM and ends with its parent."""

    def handle_warm_shutdown_request(self) -> None:
        if self.horse_pid:
            os.kill(self.horse_pid, signal.SIGTERM)

    def main_work_horse(self, job: Any, queue: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        end_with_parent(self.pid or os.getppid())
        with self._app.app_context():
            # A connection belongs to the process that opened it.
            db.engine.dispose(close=False)
            super().main_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def import_jobs() -> None:
    """Import all that jobs need, so that no fork has to."""
    for kind in Kind:
        import_string(kind.function)
    import_string(RUNNER)
    configure_mappers()


def serve(queue: Queue) -> None:
    """Work on the jobs of `queue` until SIGTERM."""
    app = create_app()
    settings: Settings = app.extensions["settings"]
    connection = redis.Redis.from_url(
        settings.redis_url, socket_connect_timeout=5, retry=Retry(ConstantBackoff(0.1), 1)
    )
    log.info("worker_started", queue=queue)
    worker = ForkingWorker if queue in FORKED else InlineWorker
    try:
        worker(app, queue, connection).work(logging_level="WARNING")
    except redis.ConnectionError as error:
        log.warning("redis_unavailable", error=str(error))
        sys.exit(1)  # the supervisor tries again
