"""Dispatch of jobs from the database to the queues, with an unreliable Redis."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
import redis
import rq
from flask import Flask
from flask.testing import FlaskClient
from rq.serializers import JSONSerializer
from sqlalchemy import select

from automart.background import Job, JobState, kinds, maintenance, queues, service, submit
from automart.background.kinds import Queue
from automart.background.leases import claim
from automart.background.maintenance import (
    KEPT_FOR,
    MESSAGE_LOST_AFTER,
    delete_inputs,
    dispatch_due,
    dispatch_lost,
    expire_jobs,
    hold_lease,
)
from automart.background.models import JobInput
from automart.background.queues import PROBE_KEY, check_writable, connect, push, waiting_ids
from automart.background.service import ensure_due, has_active_job
from automart.core.db import db, transaction, utcnow
from tests.support.logs import logged
from tests.support.sync import the_job


@pytest.fixture
def redis_client(app: Flask, redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def submit_one(**options: Any) -> Job:
    with transaction():
        job = submit(kinds.VEHICLE_SYNC, **options)
    assert job is not None
    return job


def waiting() -> list[uuid.UUID]:
    return sorted(waiting_ids(Queue.LONG))


def time_passes(seconds: timedelta) -> None:
    """Move the time of all dispatches into the past."""
    with transaction():
        for job in db.session.query(Job).populate_existing():
            if job.dispatched_at is not None:
                job.dispatched_at -= seconds


def test_a_job_is_not_submitted_outside_of_a_transaction(app: Flask) -> None:
    with pytest.raises(RuntimeError, match=r"^submit\(\) was called outside transaction\(\)\.$"):
        submit(kinds.VEHICLE_SYNC)
    assert db.session.scalars(select(Job)).all() == []


def test_a_submitted_job_is_in_the_queue_of_its_kind_under_its_id(
    app: Flask, redis_client: redis.Redis
) -> None:
    job = submit_one()

    message = rq.job.Job.fetch(str(job.id), connection=redis_client, serializer=JSONSerializer)
    assert waiting() == [job.id]
    assert message.func_name == "jobs.runner.run"
    assert message.args == [str(job.id)]
    assert message.timeout == job.time_limit
    assert message.description == f"vehicle_sync {job.id}"  # shown by /rq
    assert (message.result_ttl, message.failure_ttl) == (300, 3600)
    assert job.created_at == job.due_at == job.dispatched_at
    assert (job.time_limit, job.owner, job.request_id) == (120, None, None)
    assert dispatch_due() == 0


def test_nothing_is_dispatched_before_the_commit_or_after_a_rollback(app: Flask) -> None:
    def submit_and_fail() -> None:
        with transaction():
            submit(kinds.VEHICLE_SYNC)
            assert waiting() == []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        submit_and_fail()

    assert waiting() == []
    assert db.session.query(Job).count() == 0


def test_a_post_while_redis_is_down_is_accepted_and_dispatched_when_it_is_back(
    client: FlaskClient, app: Flask, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = submit_one()
    present, app.extensions["redis"] = app.extensions["redis"], connect("unix:///nowhere/r.sock")
    response = client.post("/v1/vehicle-syncs")
    assert dispatch_due() == 0
    assert "/nowhere/r.sock" in logged(caplog, "redis_unavailable")[0]["error"]
    app.extensions["redis"] = present

    assert response.status_code == 202
    with caplog.at_level(logging.INFO):
        assert dispatch_due() == 1
    assert logged(caplog, "jobs_dispatched") == [{"event": "jobs_dispatched", "count": 1}]
    in_order = rq.Queue(Queue.LONG, connection=redis_client).job_ids
    assert in_order == [str(earlier.id), response.get_json()["id"]]
    assert dispatch_due() == 0


def test_the_job_that_is_due_first_is_dispatched_first(
    app: Flask, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = utcnow()
    last, first = (submit_one(due_at=now - timedelta(hours=hours)) for hours in (1, 2))
    monkeypatch.setattr(maintenance, "DISPATCHED_AT_ONCE", 1)
    assert dispatch_due() == 1
    assert waiting() == [first.id]
    assert dispatch_due() == 1
    redis_client.flushall()
    time_passes(MESSAGE_LOST_AFTER)
    assert dispatch_lost() == 2
    assert rq.Queue(Queue.LONG, connection=redis_client).job_ids == [str(first.id), str(last.id)]


def test_a_job_that_is_due_later_is_dispatched_then(app: Flask) -> None:
    job = submit_one(due_at=utcnow() + timedelta(minutes=5))
    assert waiting() == []
    assert dispatch_due() == 0

    with transaction():
        db.session.get(Job, job.id).due_at = utcnow() - timedelta(seconds=1)

    assert dispatch_due() == 1
    assert waiting() == [job.id]
    message = rq.job.Job.fetch(
        str(job.id), connection=app.extensions["redis"], serializer=JSONSerializer
    )
    assert message.timeout == job.time_limit == 120


def test_jobs_are_dispatched_again_after_redis_was_emptied(
    app: Flask, redis_client: redis.Redis
) -> None:
    jobs = sorted(submit_one().id for _ in range(3))
    redis_client.flushall()
    assert dispatch_lost() == 0  # too early: they may still be on their way
    time_passes(MESSAGE_LOST_AFTER)

    assert dispatch_lost() == 3
    assert waiting() == jobs


def test_a_message_that_died_with_its_worker_is_sent_again(
    app: Flask, redis_client: redis.Redis
) -> None:
    taken, left = submit_one(), submit_one()
    redis_client.lrem(rq.Queue(Queue.LONG, connection=redis_client).key, 1, str(taken.id))
    time_passes(MESSAGE_LOST_AFTER)

    assert dispatch_lost() == 1
    assert waiting() == sorted([taken.id, left.id])


def test_a_message_that_waits_for_long_is_not_sent_twice(
    app: Flask, redis_client: redis.Redis
) -> None:
    submit_one()
    time_passes(timedelta(days=1))

    assert dispatch_lost() == 0
    assert redis_client.llen(rq.Queue(Queue.LONG, connection=redis_client).key) == 1


def test_a_running_job_is_not_dispatched_again(app: Flask, redis_client: redis.Redis) -> None:
    job = submit_one()
    claim(job.id)
    redis_client.flushall()
    time_passes(timedelta(days=1))

    assert dispatch_lost() == 0
    assert dispatch_due() == 0
    # It was claimed after it was found.
    assert maintenance._dispatch([job.id]) == 0
    assert waiting() == []


def test_many_messages_are_sent_in_one_transaction(app: Flask, redis_client: redis.Redis) -> None:
    jobs = [submit_one() for _ in range(3)]
    redis_client.flushall()
    redis_client.config_resetstat()
    assert push((job.id, kinds.VEHICLE_SYNC, job.time_limit) for job in jobs)
    sent = redis_client.info("commandstats")
    assert waiting() == sorted(job.id for job in jobs)
    assert (sent["cmdstat_rpush"]["calls"], sent["cmdstat_multi"]["calls"]) == (3, 1)


def test_a_message_that_could_not_be_sent_is_left_to_housekeeping_unless_the_job_runs(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another message of the job may have been sent."""
    running, queued = submit_one(), submit_one()
    claim(running.id)
    monkeypatch.setattr(service, "push", lambda _messages: False)
    for job in (running, queued):
        service._send_message(job)
    db.session.expire_all()
    jobs = [db.session.get_one(Job, job.id) for job in (running, queued)]
    assert [job.dispatched_at is None for job in jobs] == [False, True]


def test_looking_for_lost_messages_without_redis_changes_nothing(app: Flask) -> None:
    submit_one()
    time_passes(timedelta(days=1))
    before = the_job().dispatched_at
    present, app.extensions["redis"] = app.extensions["redis"], connect("unix:///nowhere/r.sock")
    found = dispatch_lost()
    app.extensions["redis"] = present

    assert found == 0
    assert the_job().state is JobState.QUEUED
    assert the_job().dispatched_at == before


def test_a_duplicate_message_does_no_harm(app: Flask, redis_client: redis.Redis) -> None:
    job = submit_one()
    assert push([(job.id, kinds.VEHICLE_SYNC, 60)])

    assert claim(job.id) is not None
    assert claim(job.id) is None


def test_jobs_are_kept_for_thirty_days_after_their_end(app: Flask) -> None:
    recent, old, unfinished = submit_one(), submit_one(), submit_one()
    for job, age in ((recent, KEPT_FOR - timedelta(hours=1)), (old, KEPT_FOR + timedelta(hours=1))):
        held, _ = claim(job.id)
        with transaction():
            held.succeed({})
        with transaction():
            db.session.get(Job, job.id, populate_existing=True).finished_at = utcnow() - age

    assert timedelta(days=30) <= KEPT_FOR
    assert expire_jobs() == 1
    assert {job.id for job in db.session.query(Job)} == {recent.id, unfinished.id}


def test_only_the_files_of_jobs_that_have_ended_are_deleted(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "INPUTS_AT_ONCE", 2)
    jobs = [submit_one() for _ in range(4)]
    with transaction():
        db.session.add_all(JobInput(job_id=job.id, content=b"") for job in jobs)
    for job in jobs[1:]:
        held, _ = claim(job.id)
        with transaction():
            held.succeed({})
    assert delete_inputs() == 3
    assert [left.job_id for left in db.session.query(JobInput)] == [jobs[0].id]


class TestLease:
    def test_a_lease_has_one_holder_who_can_prolong_it(self, app: Flask) -> None:
        first, second = uuid.uuid4(), uuid.uuid4()

        assert hold_lease("housekeeping", first, timedelta(minutes=1))
        assert not hold_lease("housekeeping", second, timedelta(minutes=1))
        assert hold_lease("housekeeping", first, timedelta(minutes=1))
        assert hold_lease("other housekeeping", second, timedelta(minutes=1))

    def test_an_expired_lease_is_free(self, app: Flask) -> None:
        assert hold_lease("housekeeping", uuid.uuid4(), timedelta(seconds=-1))
        assert hold_lease("housekeeping", uuid.uuid4(), timedelta(minutes=1))


def test_all_old_jobs_are_deleted_in_small_batches(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "EXPIRED_AT_ONCE", 2)
    now = utcnow()
    with transaction():
        for days in (1, 29, 31, 32, 33, 34, 400):
            ended = now - timedelta(days=days)
            values = {"state": JobState.SUCCEEDED, "finished_at": ended, "time_limit": 1}
            db.session.add(Job(kind="vehicle_sync", arguments={}, **values))
    assert expire_jobs() == 5
    assert db.session.query(Job).count() == 2


def ensure(**options: Any) -> Job:
    with transaction():
        return ensure_due(kinds.VEHICLE_SYNC, singleton="one", owner="test", **options)


def test_a_job_is_due_at_the_earliest_of_the_wanted_times(app: Flask) -> None:
    now = utcnow()
    first = ensure(due_at=now + timedelta(hours=3), office=7)
    for wanted, earliest in ((4, 3), (2, 2), (3, 2)):
        assert ensure(due_at=now + timedelta(hours=wanted), office=8).id == first.id
        assert the_job().due_at == now + timedelta(hours=earliest)
        assert the_job().dispatched_at is None
    assert (the_job().owner, the_job().arguments) == ("test", {"office": 7})
    assert waiting() == []
    assert ensure().id == first.id
    assert waiting() == [first.id]
    assert now <= the_job().due_at <= utcnow()
    assert dispatch_due() == 0


def test_a_running_job_is_due_already(app: Flask, redis_client: redis.Redis) -> None:
    job = ensure(due_at=utcnow())
    assert claim(job.id) is not None
    redis_client.flushall()
    for due_at in (None, utcnow() - timedelta(hours=1)):
        assert ensure(due_at=due_at).id == job.id
        assert the_job().due_at == job.due_at
        assert waiting() == []


def test_a_job_that_has_just_ended_is_submitted_again(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ensure()
    submit_one(singleton="two")
    active_job = service.active_job

    def end(singleton: str) -> None:
        """End the job between the two statements."""
        monkeypatch.undo()
        found = active_job(singleton)
        assert found is not None
        found.update({"state": JobState.SUCCEEDED, "finished_at": utcnow()})
        db.session.flush()

    monkeypatch.setattr(service, "active_job", end)
    due_at = utcnow() + timedelta(hours=1)
    second = ensure(due_at=due_at, office=7)
    assert second.id != first.id
    assert (second.kind, second.singleton, second.owner) == ("vehicle_sync", "one", "test")
    assert (second.due_at, second.arguments) == (due_at, {"office": 7})
    found = active_job("one")
    assert found is not None
    assert found.id == second.id


def test_redis_is_given_up_after_some_time_and_probed_without_a_trace(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "TIMEOUT_SECONDS", 7.0)
    settings = connect("redis://localhost").connection_pool.connection_kwargs
    assert (settings["socket_timeout"], settings["socket_connect_timeout"]) == (7.0, 7.0)
    assert settings["retry"] is None
    check_writable(redis_client)
    assert not redis_client.exists(PROBE_KEY)
    redis_client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            check_writable(redis_client)
    finally:
        redis_client.config_set("maxmemory", 0)


def test_a_second_active_job_of_a_singleton_violates_no_constraint(
    app: Flask, count_queries: Callable[[], AbstractContextManager[Any]]
) -> None:
    """PostgreSQL would log each violation as an error."""
    submit_one(singleton="one")
    with count_queries() as queries, transaction():
        assert submit(kinds.VEHICLE_SYNC, singleton="one") is None
    (inserted,) = [each for each in queries.statements if each.startswith("INSERT")]
    assert "ON CONFLICT DO NOTHING" in inserted
    assert db.session.query(Job).count() == 1


def test_only_active_jobs_of_the_kind_refer_to_something(app: Flask) -> None:
    job = submit_one(make_id=7)
    assert has_active_job(kinds.VEHICLE_SYNC, "make_id", 7)
    assert not has_active_job(kinds.VEHICLE_SYNC, "make_id", 8)
    assert not has_active_job(kinds.VEHICLE_SYNC, "office_id", 7)
    assert not has_active_job(kinds.PURCHASE_RECORDING, "make_id", 7)
    running = submit_one(make_id=9)
    claim(running.id)
    assert has_active_job(kinds.VEHICLE_SYNC, "make_id", 9)
    with transaction():
        service.cancel_job(db.session.get_one(Job, job.id))
    assert not has_active_job(kinds.VEHICLE_SYNC, "make_id", 7)
