"""RQ's workers, adapted: one queue each, heartbeats to the supervisor, jobs inline or in forks."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis
import rq
import rq.job
import structlog
from flask import Flask
from redis.backoff import ConstantBackoff
from redis.client import Pipeline
from redis.retry import Retry
from rq import worker_registration
from rq.exceptions import StopRequested
from rq.job import JobStatus
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from setproctitle import setproctitle
from sqlalchemy.orm import configure_mappers
from werkzeug.utils import import_string

from automart import create_app
from automart.background.kinds import KINDS, Queue
from automart.background.queues import RESULT_KEPT_SECONDS, RUNNER
from automart.core.config import Settings
from automart.core.db import db
from automart.core.logging import without_values
from automart.core.parent_death import end_with_parent
from jobs import runner
from jobs.context import stopping
from jobs.pulse import Pulse

log = structlog.get_logger(__name__)

# A fork costs more than a short job, so only other jobs run in forks: they may be killed or
# cancelled while they run, and may use much memory.
FORKED = frozenset({Queue.LONG, Queue.INTERACTIVE})
WORKER_TTL = 60
MONITORING_SECONDS = 5
# How long a job may exceed its time limit, whose alarm interrupts only Python code.
LIMIT_TOLERANCE = 30
# Between two times at which RQ's own loop sends heartbeats and cleans up.
WITHOUT_BOOKKEEPING_SECONDS = 1.0
TAKEN_AT_ONCE = 10
REGISTRATION_CHECKED_EVERY = 1.0


class JobFailed(Exception):
    """A job has failed, and its row says why. Raised so that RQ's tools show it as failed too."""


class Message(rq.job.Job):
    """A message in Redis. Only its id counts: the job that has this id is run.

    Others who can write to Redis must not be able to run functions of their choice. So neither the
    function that a message names, nor its arguments, callbacks and webhooks are used, and nothing
    is unpickled.
    """

    failure: Exception | None = None
    """Why the job has failed, if it was run already."""

    def _deserialize_data(self) -> None:
        """Do not read what to call: it is always the same."""
        self._func_name, self._instance, self._args, self._kwargs = RUNNER, None, (self.id,), {}

    def _execute(self) -> None:
        if self.failure is not None:
            raise self.failure
        reason = runner.run(self.id)
        if reason is not None:
            raise JobFailed(reason)

    def run(self) -> None:
        """Run the job within its time limit. Keep the failure, if there is one."""
        try:
            limit = UnixSignalDeathPenalty(self.timeout, JobTimeoutException)  # type: ignore[no-untyped-call]
            with limit:
                self._execute()
        except Exception as error:
            self.failure = error

    def execute_success_callback(self, *_args: Any) -> None:
        """Do nothing: our messages have no callbacks."""

    def execute_failure_callback(self, *_args: Any) -> None:
        """Do nothing: our messages have no callbacks."""

    def execute_stopped_callback(self, *_args: Any) -> None:
        """Do nothing: our messages have no callbacks."""

    def send_webhooks(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: our messages have no webhooks of RQ."""


class _Worker(rq.worker.BaseWorker):
    """The base of both kinds of worker. It serves one queue."""

    max_connection_wait_time = 5.0
    dequeue_timeout = MONITORING_SECONDS

    def __init__(self, app: Flask, queue: Queue, connection: redis.Redis, pulse: Pulse) -> None:
        super().__init__(
            [queue],
            connection=connection,
            job_class=Message,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL,
            job_monitoring_interval=MONITORING_SECONDS,
        )
        self._app = app
        self._queue = queue
        self._pulse = pulse
        self._registration_checked_at = 0.0

    def procline(self, message: str) -> None:
        setproctitle(f"automart worker: {self._queue}: {message}")

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Also register again if Redis was emptied. RQ registers only at the start."""
        self._pulse.beat()
        if self._stop_requested and self.get_state() != rq.worker.WorkerStatus.BUSY:
            raise StopRequested
        super().heartbeat(timeout, pipeline)
        if time.monotonic() < self._registration_checked_at + REGISTRATION_CHECKED_EVERY:
            return
        self._registration_checked_at = time.monotonic()
        if self.connection.sismember(self.redis_workers_keys, self.key):
            return
        with self.connection.pipeline() as registration:
            registration.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, registration)
            registration.execute()
        self._register_queue()

    def register_birth(self) -> None:
        """Also register the queue: RQ's tools would list it only after its first job."""
        super().register_birth()  # type: ignore[no-untyped-call]
        self._register_queue()

    def _register_queue(self) -> None:
        self.connection.sadd(rq.Queue.redis_queues_keys, *(queue.key for queue in self.queues))

    def handle_exception(self, job: Any, *exc_info: Any) -> None:
        """Do not log what the runner has logged already."""
        if not isinstance(exc_info[1], JobFailed):
            super().handle_exception(job, *exc_info)

    def _shutdown(self) -> None:
        """Also store the request: RQ raises an exception in its signal handler, which is lost if
        the interpreter is in a destructor."""
        self._stop_requested = True
        super()._shutdown()  # type: ignore[no-untyped-call]

    def handle_job_failure(
        self, job: Any, queue: Any, started_job_registry: Any = None, exc_string: str = ""
    ) -> None:
        """Also remove values of rows from the traceback, which Redis keeps and `/rq` shows."""
        super().handle_job_failure(job, queue, started_job_registry, without_values(exc_string))

    def subscribe(self) -> None:
        """Do not listen to commands: RQ would do so in a thread, and forks need a single thread."""


class InlineWorker(_Worker, rq.SimpleWorker):
    """Runs each job in this process.

    If it is killed during a job, its supervisor restarts it, and the job is queued again when its
    lease has expired.
    """

    def perform_job(self, job: Any, queue: Any) -> bool:
        with self._in_application(job):
            succeeded = bool(super().perform_job(job, queue))
        if self._queue is Queue.SHORT:
            self._run_waiting(queue)
        return succeeded

    def _run_waiting(self, queue: rq.Queue) -> None:
        """Run the next jobs, for a second at most, with less bookkeeping than RQ's.

        That takes several times as long as a short job. Nothing depends on it: if this process
        dies, housekeeping sends the messages again that it has taken.
        """
        ends = time.monotonic() + WITHOUT_BOOKKEEPING_SECONDS
        while time.monotonic() < ends and not self._stop_requested:
            taken = cast("list[bytes] | None", self.connection.lpop(queue.key, TAKEN_AT_ONCE))
            if not taken:
                return
            ids = [job_id.decode() for job_id in taken]
            found = Message.fetch_many(ids, self.connection, JSONSerializer)
            messages = [message for message in found if isinstance(message, Message)]
            while messages and not self._stop_requested:
                self._run(messages.pop(0), queue)
            if messages:
                self.connection.lpush(queue.key, *(message.id for message in reversed(messages)))

    def _run(self, message: Message, queue: rq.Queue) -> None:
        with self._in_application(message):
            message.run()
            if message.failure is not None:
                self.prepare_execution(message)
                super().perform_job(message, queue)
                return
        with self.connection.pipeline() as pipeline:
            message.set_status(JobStatus.FINISHED, pipeline=pipeline)
            pipeline.expire(message.key, RESULT_KEPT_SECONDS)
            queue.finished_job_registry.add(message, RESULT_KEPT_SECONDS, pipeline)
            self.increment_successful_job_count(pipeline)
            pipeline.execute()

    @contextmanager
    def _in_application(self, message: Any) -> Iterator[None]:
        limit = message.timeout + LIMIT_TOLERANCE
        with self._app.app_context(), self._pulse.kept_beating(limit):
            try:
                yield
            finally:  # what is logged next belongs to no job
                structlog.contextvars.clear_contextvars()

    def handle_warm_shutdown_request(self) -> None:
        stopping.set()


class ForkingWorker(_Worker, rq.Worker):
    """Runs each job in a fork, which handles SIGTERM, ends with its parent, and is killed if it
    hangs."""

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
        limit = job.timeout + LIMIT_TOLERANCE
        with self._app.app_context(), self._pulse_of_job.kept_beating(limit):
            # A connection belongs to the process that opened it.
            db.engine.dispose(close=False)
            super().main_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def import_jobs() -> None:
    """Import everything that jobs need, so that forks share it."""
    for kind in KINDS.values():
        import_string(kind.function)
    import_string(RUNNER)
    import_string("automart.app")  # by `create_app`
    configure_mappers()


def serve(queue: Queue, pulse: Pulse) -> None:
    """Run the jobs of `queue` until SIGTERM."""
    app = create_app()
    settings: Settings = app.extensions["settings"]
    connection = redis.Redis.from_url(
        settings.redis_url, socket_connect_timeout=5, retry=Retry(ConstantBackoff(0.1), 1)
    )
    log.info("worker_started", queue=queue)
    worker = ForkingWorker if queue in FORKED else InlineWorker
    try:
        worker(app, queue, connection, pulse).work(logging_level="WARNING")
    except redis.RedisError as error:  # it is down, or refuses to be written to
        log.warning("redis_unavailable", error=str(error))
        sys.exit(1)  # the supervisor restarts it
