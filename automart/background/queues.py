"""Redis, as a means of telling workers quickly; what there is to do stands in the database."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import redis
import rq
import structlog
from flask import current_app

from automart.background.kinds import Kind, Queue

log = structlog.get_logger(__name__)

RUNNER = "jobs.runner.run"
# RQ's own records serve rq-dashboard and are never read by us.
RESULT_KEPT_SECONDS = 300
FAILURE_KEPT_SECONDS = 3600

Message = tuple[uuid.UUID, Kind, int]
"""A job's id, kind and time limit."""


def connect(url: str) -> redis.Redis:
    """The one client of this process. Waits only shortly: what Redis is told can wait."""
    return redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=None)


def push(messages: Iterable[Message]) -> bool:
    """Tell the workers about jobs. False if Redis is down; telling twice does no harm."""
    client: redis.Redis = current_app.extensions["redis"]
    try:
        with client.pipeline() as pipeline:
            for job_id, kind, time_limit in messages:
                rq.Queue(kind.queue, connection=client).enqueue_call(
                    RUNNER,
                    args=(str(job_id),),
                    job_id=str(job_id),
                    description=f"{kind} {job_id}",
                    timeout=time_limit,
                    result_ttl=RESULT_KEPT_SECONDS,
                    failure_ttl=FAILURE_KEPT_SECONDS,
                    pipeline=pipeline,
                )
            pipeline.execute()
    except redis.RedisError as error:
        log.warning("redis_unavailable", error=str(error))
        return False
    return True


def waiting_ids(queue: Queue) -> set[uuid.UUID]:
    """The ids of the jobs whose messages wait in `queue`. Raises `redis.RedisError`."""
    client: redis.Redis = current_app.extensions["redis"]
    return {uuid.UUID(job_id) for job_id in rq.Queue(queue, connection=client).get_job_ids()}
