"""Submitting and cancelling jobs: a row in the caller's transaction, a message after the commit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import g, has_request_context
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from automart.background.kinds import Kind
from automart.background.models import Job, JobState
from automart.background.queues import push
from automart.db import after_commit, db, transaction, utcnow
from automart.errors import Conflict
from automart.telemetry import current_request_id

DEFAULT_TIME_LIMIT = 120


def submit(
    kind: Kind,
    *,
    singleton: str | None = None,
    time_limit: int = DEFAULT_TIME_LIMIT,
    due_at: datetime | None = None,
    owner: str | None = None,
    **arguments: Any,
) -> Job | None:
    """Add a job in the present transaction; it is dispatched after the commit.

    `time_limit` in seconds. At most one job with a `singleton` is queued or running: None is
    answered if there is one already. `due_at` in the future delays the job until then. `owner` is
    the present caller unless named.
    """
    now = utcnow()
    job = Job(
        kind=str(kind),
        arguments=arguments,
        singleton=singleton,
        time_limit=time_limit,
        owner=owner or (g.get("caller_id") if has_request_context() else None),
        request_id=current_request_id(),
        created_at=now,
        due_at=due_at or now,
        # Written before it is true, which saves a transaction: a job that was "dispatched" and is
        # in no queue is found by housekeeping.
        dispatched_at=now if due_at is None else None,
    )
    try:
        with db.session.begin_nested():
            db.session.add(job)
    except IntegrityError:
        if singleton is None or active_job(singleton) is None:
            raise
        return None
    if due_at is None:
        after_commit(lambda: _dispatch(job))
    return job


def active_job(singleton: str) -> Job | None:
    """The one queued or running job with this `singleton`."""
    active = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
    return db.session.scalars(select(Job).where(Job.singleton == singleton, active)).one_or_none()


def cancel(job: Job) -> None:
    """End a job at once. Raises `Conflict` if its kind cannot be cancelled, or if it has ended."""
    if not Kind.named(job.kind).cancellable:
        raise Conflict(f"A {job.kind} cannot be cancelled: it was accepted, and will be done.")
    if job.state.has_ended:
        raise Conflict(f"The job has ended already: {job.state}.")
    job.update(
        {"state": JobState.CANCELLED, "claim": None, "lease_until": None, "finished_at": utcnow()}
    )


def _dispatch(job: Job) -> None:
    if push([(job.id, Kind.named(job.kind), job.time_limit)]):
        return
    with transaction():
        db.session.execute(
            update(Job)
            .where(Job.id == job.id, Job.state == JobState.QUEUED)
            .values(dispatched_at=None)
        )
