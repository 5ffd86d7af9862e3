"""Submitting and cancelling jobs: a row in the caller's transaction, a message after the commit."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select, update
from sqlalchemy.exc import IntegrityError

from automart.background.kinds import Kind
from automart.background.models import Job, JobState
from automart.background.queues import push
from automart.core.db import after_commit, db, transaction, utcnow
from automart.core.errors import Conflict, NotFound
from automart.core.logging import current_request_id
from automart.web.authorization import current_caller, current_caller_id

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
        owner=owner or current_caller_id(),
        request_id=current_request_id(),
        created_at=now,
        due_at=due_at or now,
        # Written before it is true, which saves a transaction: a job that was "dispatched" and is
        # in no queue is found by housekeeping.
        dispatched_at=now if due_at is None else None,
    )
    if singleton is None:
        db.session.add(job)
        db.session.flush()
    elif not _is_added(job, singleton):
        return None
    if due_at is None:
        after_commit(lambda: _dispatch(job))
    return job


def ensure_due(
    kind: Kind, *, singleton: str, due_at: datetime | None = None, owner: str, **arguments: Any
) -> Job:
    """The active job with this `singleton`, due at `due_at` (now) at the latest; submitted if there
    is none.

    A running one is left alone: before it ends it must look for itself what there is to do, in its
    last transaction. What keeps two callers apart is theirs to lock.
    """
    submitted = submit(kind, singleton=singleton, due_at=due_at, owner=owner, **arguments)
    if submitted is not None:
        return submitted
    job = active_job(singleton)
    if job is None:  # it ended between the two statements
        return ensure_due(kind, singleton=singleton, due_at=due_at, owner=owner, **arguments)
    now = utcnow()
    wanted = due_at or now
    if job.state is JobState.QUEUED and job.due_at > wanted:
        job.update({"due_at": wanted, "dispatched_at": now if due_at is None else None})
        if due_at is None:
            after_commit(lambda: _dispatch(job))
    return job


def active_job(singleton: str) -> Job | None:
    """The one queued or running job with this `singleton`."""
    active = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
    return db.session.scalars(select(Job).where(Job.singleton == singleton, active)).one_or_none()


def visible_jobs() -> Select[Job]:
    """The jobs that the present caller may see: admins all; others their own, and those of the
    kinds that they may start."""
    caller = current_caller()
    if caller.is_admin:
        return select(Job)
    startable = [str(kind) for kind in Kind if kind.scope is not None and caller.may(kind.scope)]
    mine = Job.owner == caller.id
    return select(Job).where(or_(mine, Job.kind.in_(startable)) if startable else mine)


def visible_job(job_id: uuid.UUID, *, lock: bool = False) -> Job:
    """The job, locked if `lock`. `NotFound` if there is none, or none that the caller may see."""
    found = visible_jobs().where(Job.id == job_id)
    if lock:
        found = found.with_for_update().execution_options(populate_existing=True)
    job: Job | None = db.session.scalars(found).one_or_none()
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job


def cancel(job: Job) -> None:
    """End a job at once. Raises `Conflict` if its kind cannot be cancelled, or if it has ended."""
    if not Kind.named(job.kind).cancellable:
        raise Conflict(f"A {job.kind} cannot be cancelled: it was accepted, and will be done.")
    if job.state.has_ended:
        raise Conflict(f"The job has ended already: {job.state}.")
    job.update(
        {"state": JobState.CANCELLED, "claim": None, "lease_until": None, "finished_at": utcnow()}
    )


def _is_added(job: Job, singleton: str) -> bool:
    """Add a job, unless there is an active one with its singleton."""
    try:
        with db.session.begin_nested():
            db.session.add(job)
    except IntegrityError:
        if active_job(singleton) is None:
            raise
        return False
    return True


def _dispatch(job: Job) -> None:
    if push([(job.id, Kind.named(job.kind), job.time_limit)]):
        return
    with transaction():
        db.session.execute(
            update(Job)
            .where(Job.id == job.id, Job.state == JobState.QUEUED)
            .values(dispatched_at=None)
        )
