"""Messages in Redis: others who can write them cannot choose what a worker runs."""

from __future__ import annotations

import pickle
import uuid
from typing import Any

import pytest
import redis
import rq
from flask import Flask
from rq.serializers import JSONSerializer

from automart.background import kinds
from automart.background.kinds import Queue
from automart.background.models import Job, JobState
from automart.background.queues import push
from automart.background.service import submit
from automart.core.db import db, transaction
from automart.core.errors import Conflict
from automart.operations.collectors import living_workers
from jobs import catalogue, rq_workers
from jobs.pulse import Pulse
from jobs.rq_workers import InlineWorker
from tests.support.databases import on_sqlite

called: list[str] = []


def call(*_args: Any) -> None:
    """Record a call that a message asked for."""
    called.append("called")


class Pickled:
    def __reduce__(self) -> tuple[Any, ...]:
        return (call, ())


@pytest.fixture
def redis_client(app: Flask) -> redis.Redis:
    client: redis.Redis = app.extensions["redis"]
    return client


@pytest.fixture
def queue(redis_client: redis.Redis) -> rq.Queue:
    called.clear()
    return rq.Queue(Queue.LONG, connection=redis_client)


def work(app: Flask, client: redis.Redis) -> None:
    """Run all messages in this process."""
    worker = InlineWorker(app, Queue.LONG, client, Pulse())
    worker.work(burst=True, logging_level="WARNING")


@on_sqlite
class TestForeignMessages:
    def test_no_function_of_a_message_is_called(
        self, app: Flask, queue: rq.Queue, redis_client: redis.Redis
    ) -> None:
        for job_id in ("not-an-id", str(uuid.uuid4())):
            for serializer in (None, JSONSerializer):
                of_format = rq.Queue(Queue.LONG, connection=redis_client, serializer=serializer)
                of_format.enqueue_call(
                    f"{__name__}.call",
                    job_id=job_id,
                    on_success=rq.Callback(f"{__name__}.call"),
                    on_failure=rq.Callback(f"{__name__}.call"),
                )
                work(app, redis_client)
        assert queue.count == 0
        assert called == []

    def test_nothing_is_unpickled(
        self, app: Flask, queue: rq.Queue, redis_client: redis.Redis
    ) -> None:
        for attack in ("data", "meta", "result"):
            message = queue.enqueue_call("jobs.runner.run", args=("x",))
            redis_client.hset(message.key, attack, pickle.dumps(Pickled()))
            work(app, redis_client)
        assert queue.count == 0
        assert called == []


@on_sqlite
def test_a_message_of_the_previous_release_runs_its_job(
    app: Flask, queue: rq.Queue, redis_client: redis.Redis
) -> None:
    with transaction():
        job_id = submit(kinds.VEHICLE_SYNC).id
    queue.empty()
    queue.enqueue_call("jobs.runner.run", args=(str(job_id),), job_id=str(job_id))
    work(app, redis_client)
    db.session.expire_all()
    assert db.session.get_one(Job, job_id).state is not JobState.QUEUED


@on_sqlite
def test_messages_are_json(app: Flask, redis_client: redis.Redis) -> None:
    job_id = uuid.uuid4()
    assert push([(job_id, kinds.VEHICLE_SYNC, 60)])
    message = rq.job.Job.fetch(str(job_id), connection=redis_client, serializer=JSONSerializer)
    assert (message.func_name, message.args) == ("jobs.runner.run", [str(job_id)])


@on_sqlite
class TestTools:
    """What RQ's own tools show: rq-dashboard and `rq info`."""

    def test_a_job_that_failed_is_failed_there_too_with_its_reason(
        self,
        app: Flask,
        queue: rq.Queue,
        redis_client: redis.Redis,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(_run: object) -> None:
            raise Conflict("The office was deleted.")

        monkeypatch.setattr(catalogue, "vehicle_sync", fail)
        with transaction():
            job = submit(kinds.VEHICLE_SYNC)
        assert job is not None
        work(app, redis_client)
        assert queue.failed_job_registry.get_job_ids() == [str(job.id)]
        assert queue.finished_job_registry.get_job_ids() == []
        message = rq.job.Job.fetch(str(job.id), connection=redis_client, serializer=JSONSerializer)
        result = message.latest_result()
        assert result is not None
        assert "The office was deleted." in result.exc_string
        # Once, by the runner.
        assert caplog.text.count("The office was deleted.") == 1

    def test_queues_are_listed_before_their_first_job(
        self, app: Flask, redis_client: redis.Redis
    ) -> None:
        assert rq.Queue.all(connection=redis_client) == []
        work(app, redis_client)
        assert [queue.name for queue in rq.Queue.all(connection=redis_client)] == [Queue.LONG]

    def test_a_worker_is_listed_again_after_redis_was_emptied(
        self, app: Flask, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rq_workers, "REGISTRATION_CHECKED_EVERY", 0)
        worker = InlineWorker(app, Queue.LONG, redis_client, Pulse())
        worker.register_birth()
        worker.heartbeat(500)
        assert 400 < int(redis_client.ttl(worker.key)) <= 500
        redis_client.flushall()
        worker.heartbeat()
        assert [each.name for each in rq.Worker.all(connection=redis_client)] == [worker.name]
        assert living_workers(Queue.LONG) == 1
        assert [queue.name for queue in rq.Queue.all(connection=redis_client)] == [Queue.LONG]
