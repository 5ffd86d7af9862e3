"""What housekeeping does for jobs: dispatch forgotten ones, queue orphaned ones again, expire."""

from __future__ import annotations

import uuid
from datetime import timedelta
from http import HTTPStatus

import redis
import structlog
from sqlalchemy import or_, select, update

from automart.background.kinds import Kind, Queue
from automart.background.models import Job, JobState, Lease
from automart.background.queues import Message, push, waiting_ids
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

BATCH = 500
EXPIRED_AT_ONCE = 50
# How long a message may take from Redis into a worker's hands before it counts as lost.
MESSAGE_LOST_AFTER = timedelta(seconds=10)
STALLS_ALLOWED = 3
KEPT_FOR = timedelta(days=30)


def hold_lease(name: str, holder: uuid.UUID, duration: timedelta) -> bool:
    """Take or prolong the lease `name` for `holder`. False while another holds it."""
    now = utcnow()
    wanted = insert(Lease).values(name=name, holder=holder, until=now + duration)
    with transaction(durable=False):
        taken = rowcount(
            wanted.on_conflict_do_update(
                index_elements=["name"],
                set_={"holder": wanted.excluded.holder, "until": wanted.excluded.until},
                where=or_(Lease.holder == holder, Lease.until < now),
            )
        )
    return bool(taken)


def dispatch_due() -> int:
    """Dispatch queued jobs that are due and have no message. Answers how many."""
    waiting = (
        select(Job.id)
        .where(Job.state == JobState.QUEUED, Job.due_at <= utcnow(), Job.dispatched_at.is_(None))
        .order_by(Job.due_at)
        .limit(BATCH)
    )
    ids = list(db.session.scalars(waiting))
    release_connection()
    return _dispatch(ids)


def dispatch_lost() -> int:
    """Dispatch again the queued jobs whose message is gone: Redis was emptied, or a worker died
    between taking the message and claiming the job. Answers how many."""
    stale = (
        select(Job.id, Job.kind)
        .where(Job.state == JobState.QUEUED, Job.dispatched_at < utcnow() - MESSAGE_LOST_AFTER)
        .order_by(Job.due_at)
    )
    rows = list(db.session.execute(stale))
    release_connection()
    if not rows:
        return 0
    try:
        present = {queue: waiting_ids(queue) for queue in Queue}
    except redis.RedisError:
        return 0  # dispatch_due tells of it, and there is nothing to be done meanwhile
    lost = [job_id for job_id, kind in rows if job_id not in present[Kind.named(kind).queue]]
    return sum(_dispatch(lost[start : start + BATCH]) for start in range(0, len(lost), BATCH))


def requeue_orphans() -> int:
    """Queue running jobs again whose lease has run out; fail those that get nowhere. How many."""
    orphaned = select(Job).where(Job.state == JobState.RUNNING, Job.lease_until < utcnow())
    with transaction():
        jobs = list(db.session.scalars(orphaned.with_for_update(skip_locked=True)))
        for job in jobs:
            _requeue(job)
    return len(jobs)


def expire_jobs() -> int:
    """Delete jobs that ended long ago, few at a time: a sync takes thousands of outcomes along.
    Answers how many."""
    return delete_in_batches(Job, Job.finished_at < utcnow() - KEPT_FOR, EXPIRED_AT_ONCE)


def _requeue(job: Job) -> None:
    stalls = 0 if job.done > job.done_at_claim else job.stalls + 1
    released = {"claim": None, "lease_until": None, "stalls": stalls}
    if stalls < STALLS_ALLOWED:
        log.warning("job_orphaned", job_id=str(job.id), kind=job.kind, stalls=stalls)
        job.update({"state": JobState.QUEUED, "dispatched_at": None, **released})
        return
    log.error("job_given_up", job_id=str(job.id), kind=job.kind)
    detail = f"The worker died {stalls} times while it ran this job, which made no progress."
    error = problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
    job.update({"state": JobState.FAILED, "error": error, "finished_at": utcnow(), **released})


def _dispatch(ids: list[uuid.UUID]) -> int:
    if not ids:
        return 0
    mine = update(Job).where(Job.id.in_(ids), Job.state == JobState.QUEUED)
    with transaction():
        marked = db.session.execute(
            mine.values(dispatched_at=utcnow()).returning(Job.id, Job.kind, Job.time_limit)
        )
        messages: list[Message] = [(i, Kind.named(kind), limit) for i, kind, limit in marked]
    if push(messages):
        log.info("jobs_dispatched", count=len(messages))
        return len(messages)
    with transaction():
        db.session.execute(mine.values(dispatched_at=None))
    return 0
