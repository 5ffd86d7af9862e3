"""Housekeeping of jobs: dispatch those without a message, requeue orphans, delete old ones."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus

import redis
import structlog
from sqlalchemy import or_, select, update

from automart.background.kinds import KINDS, Queue
from automart.background.models import Job, JobInput, JobState, LeaderLease
from automart.background.queues import Message, push, waiting_ids
from automart.core.batches import batched
from automart.core.db import (
    db,
    delete_in_batches,
    insert,
    release_connection,
    rowcount,
    transaction,
    utcnow,
)
from automart.core.errors import problem

log = structlog.get_logger(__name__)

# The name of the lease for housekeeping, and of its process.
HOUSEKEEPING = "housekeeping"
DISPATCHED_AT_ONCE = 500
EXPIRED_AT_ONCE = 10
INPUTS_AT_ONCE = 10
# How long a worker may take from taking a message to claiming its job.
MESSAGE_LOST_AFTER = timedelta(seconds=10)
STALLS_ALLOWED = 3
KEPT_FOR = timedelta(days=30)
# During an upgrade, the next release may submit jobs of kinds that this one does not have.
IS_KNOWN = Job.kind.in_(KINDS)


def hold_lease(name: str, holder: uuid.UUID, duration: timedelta) -> bool:
    """Acquire or prolong the lease `name` for `holder`. Return False while another holds it."""
    now = utcnow()
    wanted = insert(LeaderLease).values(name=name, holder=holder, until=now + duration)
    with transaction(durable=False):
        taken = rowcount(
            wanted.on_conflict_do_update(
                index_elements=["name"],
                set_={"holder": wanted.excluded.holder, "until": wanted.excluded.until},
                where=or_(LeaderLease.holder == holder, LeaderLease.until < now),
            )
        )
    return bool(taken)


def dispatch_due() -> int:
    """Dispatch queued jobs that are due and have no message. Return their number."""
    waiting = (
        select(Job.id)
        .where(
            *(Job.state == JobState.QUEUED, Job.due_at <= utcnow(), Job.dispatched_at.is_(None)),
            IS_KNOWN,
        )
        .order_by(Job.due_at)
        .limit(DISPATCHED_AT_ONCE)
    )
    ids = list(db.session.scalars(waiting))
    release_connection()
    return _dispatch(ids)


def dispatch_lost() -> int:
    """Dispatch queued jobs again whose message was lost. Return their number.

    Redis was emptied, or a worker died between taking the message and claiming the job.
    """
    stale = (
        select(Job.id, Job.kind)
        .where(
            Job.state == JobState.QUEUED,
            Job.dispatched_at < utcnow() - MESSAGE_LOST_AFTER,
            IS_KNOWN,
        )
        .order_by(Job.due_at)
    )
    rows = list(db.session.execute(stale))
    release_connection()
    if not rows:
        return 0
    try:
        present = {queue: waiting_ids(queue) for queue in Queue}
    except redis.RedisError:
        return 0  # dispatch_due logs it
    lost = (job_id for job_id, kind in rows if job_id not in present[KINDS[kind].queue])
    return sum(map(_dispatch, batched(lost, DISPATCHED_AT_ONCE)))


def requeue_orphans() -> int:
    """Queue running jobs again whose lease has run out, and fail those without progress. Return
    their number."""
    orphaned = select(Job).where(Job.state == JobState.RUNNING, Job.lease_until < utcnow())
    with transaction():
        jobs = list(db.session.scalars(orphaned.with_for_update(skip_locked=True)))
        for job in jobs:
            _requeue(job)
    return len(jobs)


def expire_jobs() -> int:
    """Delete jobs that ended long ago, and return their number.

    Batches are small because thousands of outcomes are deleted with each sync.
    """
    return delete_in_batches(Job, Job.finished_at < utcnow() - KEPT_FOR, EXPIRED_AT_ONCE)


def delete_inputs() -> int:
    """Delete the files of jobs that have ended, and return their number."""
    ended = select(Job.id).where(Job.finished_at.is_not(None))
    return delete_in_batches(JobInput, JobInput.job_id.in_(ended), INPUTS_AT_ONCE)


def _requeue(job: Job) -> None:
    stalls = 0 if job.done > job.done_at_claim else job.stalls + 1
    released = {"claim": None, "lease_until": None, "stalls": stalls}
    if stalls < STALLS_ALLOWED:
        log.warning("job_orphaned", job_id=str(job.id), kind=job.kind, stalls=stalls)
        job.update({"state": JobState.QUEUED, "dispatched_at": None, **released})
        return
    log.error("job_abandoned", job_id=str(job.id), kind=job.kind)
    detail = f"The worker died {stalls} times while it ran this job, which made no progress."
    error = problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
    job.update({"state": JobState.FAILED, "error": error, "finished_at": utcnow(), **released})


def _dispatch(ids: Sequence[uuid.UUID]) -> int:
    if not ids:
        return 0
    chosen = update(Job).where(Job.id.in_(ids), Job.state == JobState.QUEUED)
    with transaction():
        marked = db.session.execute(
            chosen.values(dispatched_at=utcnow()).returning(Job.id, Job.kind, Job.time_limit)
        )
        messages: list[Message] = [(i, KINDS[kind], limit) for i, kind, limit in marked]
    if push(messages):
        log.info("jobs_dispatched", count=len(messages))
        return len(messages)
    with transaction():
        db.session.execute(chosen.values(dispatched_at=None))
    return 0
