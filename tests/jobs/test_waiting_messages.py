"""The worker of short jobs runs what else waits with less bookkeeping than RQ's."""

from __future__ import annotations

import uuid

import pytest
import redis
import rq
from flask import Flask
from sqlalchemy import select

from automart.background import kinds
from automart.background.kinds import Queue
from automart.background.models import Job, JobState
from automart.background.service import submit
from automart.core.db import db, transaction
from automart.core.errors import Conflict
from automart.purchases import service
from automart.purchases.models import Purchase
from jobs import rq_workers
from jobs.pulse import Pulse
from jobs.rq_workers import InlineWorker
from tests.support.databases import on_sqlite
from tests.support.purchases import HONDA, ensure_catalogue, make_office

pytestmark = on_sqlite


@pytest.fixture
def queue(app: Flask) -> rq.Queue:
    return rq.Queue(Queue.SHORT, connection=app.extensions["redis"])


@pytest.fixture
def worker(app: Flask) -> InlineWorker:
    return InlineWorker(app, Queue.SHORT, app.extensions["redis"], Pulse())


def submit_sales(count: int) -> list[str]:
    ensure_catalogue()
    office = make_office()
    ids = []
    for number in range(count):
        with transaction():
            job = submit(
                kinds.PURCHASE_RECORDING,
                regional_office_id=office.id,
                external_order_number=f"order {number}",
                make_id=HONDA,
                car_model="Civic",
            )
        assert job is not None
        ids.append(str(job.id))
    db.session.remove()
    return ids


def states() -> list[JobState]:
    db.session.rollback()
    return list(db.session.scalars(select(Job.state).order_by(Job.id)))


def test_all_waiting_jobs_are_run_and_shown_as_finished(
    worker: InlineWorker, queue: rq.Queue
) -> None:
    ids = submit_sales(2 * rq_workers.TAKEN_AT_ONCE + 3)
    worker.work(burst=True, logging_level="WARNING")
    assert set(states()) == {JobState.SUCCEEDED}
    numbers = list(db.session.scalars(select(Purchase.external_order_number).order_by(Purchase.id)))
    assert numbers == [f"order {number}" for number in range(len(ids))]
    assert sorted(queue.finished_job_registry.get_job_ids()) == ids
    assert {rq.job.Job.fetch(i, queue.connection).get_status() for i in ids} == {"finished"}
    assert queue.count == 0


def test_a_failed_job_is_shown_as_failed_and_the_next_ones_are_run(
    worker: InlineWorker, queue: rq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = service.create_purchase

    def fail_some(office_id: int, number: str, *others: object) -> object:
        if number == "order 1":
            raise Conflict("Not this one.")
        if number == "order 2":
            raise RuntimeError("a bug")
        return create(office_id, number, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "create_purchase", fail_some)
    ids = submit_sales(4)
    worker.work(burst=True, logging_level="CRITICAL")
    failed, succeeded = JobState.FAILED, JobState.SUCCEEDED
    assert states() == [succeeded, failed, failed, succeeded]
    assert sorted(queue.failed_job_registry.get_job_ids()) == ids[1:3]
    assert sorted(queue.finished_job_registry.get_job_ids()) == [ids[0], ids[3]]
    assert len(queue.started_job_registry) == 0


def test_a_worker_that_is_stopped_puts_messages_back_in_their_order(
    worker: InlineWorker, queue: rq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = service.create_purchase

    def stop(office_id: int, number: str, *others: object) -> object:
        worker._stop_requested = number == "order 2"
        return create(office_id, number, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "create_purchase", stop)
    ids = submit_sales(6)
    worker.work(burst=True, logging_level="WARNING")
    assert states() == [JobState.SUCCEEDED] * 3 + [JobState.QUEUED] * 3
    assert queue.get_job_ids() == ids[3:]


def test_messages_without_content_and_of_strangers_stop_nothing(
    worker: InlineWorker, queue: rq.Queue, redis_client: redis.Redis
) -> None:
    submit_sales(1)
    redis_client.rpush(queue.key, str(uuid.uuid4()))
    queue.enqueue("os.getpid", job_id="stranger")
    submit_sales(2)
    worker.work(burst=True, logging_level="CRITICAL")
    assert set(states()) == {JobState.SUCCEEDED}
    assert queue.failed_job_registry.get_job_ids() == ["stranger"]


@pytest.fixture
def redis_client(app: Flask) -> redis.Redis:
    client: redis.Redis = app.extensions["redis"]
    return client
