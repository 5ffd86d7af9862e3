"""Queues in Redis, which notify workers quickly. The jobs themselves are in the database."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import redis
import rq
import structlog
from flask import current_app
from rq.serializers import JSONSerializer

from automart.background.kinds import Kind, Queue

log = structlog.get_logger(__name__)

RUNNER = "jobs.runner.run"
PROBE_KEY = "automart:probe"
# Only rq-dashboard reads the results that RQ keeps.
RESULT_KEPT_SECONDS = 300
FAILURE_KEPT_SECONDS = 3600

Message = tuple[uuid.UUID, Kind, int]
"""A job's id, kind and time limit."""


TIMEOUT_SECONDS = 1.0


def connect(url: str) -> redis.Redis:
    """Return a client with short timeouts: messages that are not sent now are sent later."""
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=None,
    )


def push(messages: Iterable[Message]) -> bool:
    """Send the messages of jobs to the workers. Return False if Redis is down. Duplicates do no
    harm."""
    client: redis.Redis = current_app.extensions["redis"]
    try:
        with client.pipeline() as pipeline:
            for job_id, kind, time_limit in messages:
                queue = rq.Queue(kind.queue, connection=client, serializer=JSONSerializer)
                queue.enqueue_call(
                    RUNNER,
                    args=(str(job_id),),
                    job_id=str(job_id),
                    description=f"{kind.name} {job_id}",
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


def check_writable(client: redis.Redis) -> None:
    """Push a message and remove it. Raises `redis.RedisError` if Redis does not allow that.

    A Redis that is full or a replica still responds to a ping.
    """
    client.rpush(PROBE_KEY, "")
    client.delete(PROBE_KEY)


def waiting_ids(queue: Queue) -> set[uuid.UUID]:
    """Return the ids of the jobs whose messages are in `queue`. Raises `redis.RedisError`."""
    client: redis.Redis = current_app.extensions["redis"]
    return {uuid.UUID(job_id) for job_id in rq.Queue(queue, connection=client).get_job_ids()}
