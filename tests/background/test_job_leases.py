"""Leases of running jobs: claimed once, checked with every write, never regained."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from automart.background import Job, JobState, kinds, submit
from automart.background.leases import LEASE, LeaseLost, claim
from automart.background.maintenance import requeue_orphans
from automart.background.models import JobState as State
from automart.core.db import db, transaction, utcnow
from tests.support.logs import logged
from tests.support.sync import the_job


@pytest.fixture
def job(app: Flask) -> Job:
    with transaction():
        submitted = submit(kinds.VEHICLE_SYNC, make_ids=None, approve_deletions=False)
    assert submitted is not None
    return submitted


@pytest.fixture
def orphaned(job: Any) -> Any:
    """Return a job whose lease has expired, and that lease."""
    held, _ = claim(job.id)
    let_the_lease_run_out(job.id)
    return held


def let_the_lease_run_out(job_id: Any) -> None:
    with transaction():
        db.session.get(Job, job_id, populate_existing=True).lease_until = utcnow() - timedelta(1)


def test_a_job_is_claimed_once(job: Any) -> None:
    first, second = claim(job.id), claim(job.id)

    assert first is not None
    assert second is None
    assert the_job().state is JobState.RUNNING
    assert the_job().attempts == 1
    assert utcnow() < the_job().lease_until <= utcnow() + LEASE
    assert requeue_orphans() == 0


def test_a_job_that_does_not_exist_cannot_be_claimed(app: Flask) -> None:
    assert claim(uuid.uuid4()) is None


def test_a_job_that_is_due_later_cannot_be_claimed(app: Flask) -> None:
    with transaction():
        later = submit(kinds.VEHICLE_SYNC, due_at=utcnow() + timedelta(minutes=5))

    assert claim(later.id) is None


@pytest.mark.parametrize("ending", [lambda held: held.succeed({}), lambda held: held.fail({})])
def test_an_ended_job_cannot_be_claimed_again(job: Any, ending: Any) -> None:
    held, _ = claim(job.id)
    with transaction():
        ending(held)

    assert claim(job.id) is None
    assert the_job().finished_at is not None
    assert (the_job().claim, the_job().lease_until) == (None, None)
    assert held.has_ended
    with pytest.raises(LeaseLost, match=str(job.id)), transaction():
        ending(held)


@pytest.mark.parametrize(
    "write",
    [
        lambda held: held.advance(),
        lambda held: held.succeed({"from": "the grave"}),
        lambda held: held.fail({"from": "the grave"}),
        lambda held: held.requeue(),
        lambda held: held.renew(),
    ],
    ids=["advance", "succeed", "fail", "hand_back", "renew"],
)
def test_an_orphan_can_write_nothing_once_its_job_was_queued_again(
    orphaned: Any, write: Any
) -> None:
    requeue_orphans()

    with pytest.raises(LeaseLost, match=str(orphaned.job_id)), transaction():
        write(orphaned)

    assert the_job().state is State.QUEUED
    assert the_job().result is None


def test_an_orphan_can_write_nothing_while_another_runs_its_job(orphaned: Any) -> None:
    requeue_orphans()
    heir, _ = claim(orphaned.job_id)

    with pytest.raises(LeaseLost), transaction():
        orphaned.advance()
    with transaction():
        heir.advance(3)

    assert the_job().done == 3


def test_a_renewed_lease_does_not_expire(orphaned: Any) -> None:
    orphaned.renew()

    assert requeue_orphans() == 0
    assert the_job().lease_until > utcnow() + LEASE / 2


def test_a_failure_has_a_reason_and_may_have_a_result(job: Any) -> None:
    held, _ = claim(job.id)
    with transaction():
        held.fail({"detail": "NHTSA is closed."}, {"makes_failed": []})

    assert (held.outcome, held.failure) == (JobState.FAILED, "NHTSA is closed.")
    assert the_job().error == {"detail": "NHTSA is closed."}
    assert the_job().result == {"makes_failed": []}


def test_a_requeued_job_has_not_used_an_attempt(job: Any) -> None:
    first_due_at = job.due_at
    held, _ = claim(job.id)
    with transaction():
        held.advance(2)
        held.requeue()

    assert the_job().state is JobState.QUEUED
    assert the_job().attempts == 0
    assert the_job().done == 2
    assert the_job().due_at > first_due_at
    assert (the_job().claim, the_job().lease_until, the_job().dispatched_at) == (None, None, None)
    assert held.has_ended
    assert claim(job.id) is not None


def test_a_job_without_progress_fails_after_three_deaths_of_its_worker(
    job: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert the_job().state is JobState.QUEUED
        claim(job.id)
        let_the_lease_run_out(job.id)
        assert requeue_orphans() == 1
        assert (the_job().claim, the_job().lease_until) == (None, None)

    of_job = {"job_id": str(job.id), "kind": "vehicle_sync"}
    assert logged(caplog, "job_orphaned", "job_abandoned") == [
        {"event": "job_orphaned", "stalls": 1} | of_job,
        {"event": "job_orphaned", "stalls": 2} | of_job,
        {"event": "job_abandoned"} | of_job,
    ]
    assert the_job().state is JobState.FAILED
    assert the_job().finished_at is not None
    assert the_job().error["status"] == 500
    assert "died 3 times" in the_job().error["detail"]
    assert the_job().attempts == 3


def test_a_job_with_progress_survives_any_number_of_deaths(job: Any) -> None:
    for _ in range(6):
        held, _ = claim(job.id)
        with transaction():
            held.advance()
        let_the_lease_run_out(job.id)
        requeue_orphans()

        assert (the_job().dispatched_at, the_job().stalls) == (None, 0)

    assert the_job().state is JobState.QUEUED
    assert the_job().done == 6


def test_progress_of_earlier_runs_does_not_save_a_job(job: Any) -> None:
    for number in range(4):
        held, _ = claim(job.id)
        if number == 0:
            with transaction():
                held.advance(5)
        let_the_lease_run_out(job.id)
        requeue_orphans()
        assert the_job().stalls == number

    assert (the_job().state, the_job().done) == (JobState.FAILED, 5)
