"""A worker's hold on a job: claimed before any work, checked with every write."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Integer, bindparam, update

from automart.background.models import Job, JobState
from automart.core.db import db, rowcount, table_of, transaction, utcnow

LEASE = timedelta(seconds=12)
RENEWAL_INTERVAL = timedelta(seconds=4)
# The clock of the host that found the job due may be a little ahead of ours.
CLOCK_TOLERANCE = timedelta(seconds=2)


JOB = table_of(Job)
_ADVANCE = (
    update(JOB)
    .where(JOB.c.id == bindparam("of_job"), JOB.c.claim == bindparam("of_claim"))
    .values(done=JOB.c.done + bindparam("steps", type_=Integer))
)


class LeaseLost(Exception):
    """The job was cancelled, or given to another process for want of a renewed lease."""


@dataclass(frozen=True, slots=True)
class JobLease:
    """Proof that this process runs the job. Its methods raise `ClaimLost` once that is untrue."""

    job_id: uuid.UUID
    token: uuid.UUID

    def renew(self) -> None:
        """Keep the job for another `LEASE`."""
        with transaction(durable=False):
            self._write(lease_until=utcnow() + LEASE)

    def advance(self, steps: int = 1) -> None:
        """Count progress; call it first in each transaction of the job: it is also the fence.

        Whoever else wants to take, cancel or advance this job waits for the end of the transaction.
        """
        parameters = {"of_job": self.job_id, "of_claim": self.token, "steps": steps}
        if rowcount(_ADVANCE, parameters) == 0:
            raise LeaseLost(str(self.job_id))

    def expect(self, total: int) -> None:
        """Say how many steps there are in all."""
        self._write(total=total)

    def succeed(self, result: dict[str, Any] | None) -> None:
        self._end(JobState.SUCCEEDED, result=result)

    def fail(self, error: dict[str, Any], result: dict[str, Any] | None = None) -> None:
        """End the job with `error`, a problem object."""
        self._end(JobState.FAILED, error=error, result=result)

    def requeue(self) -> None:
        """Queue the job again, as if it had not been started: the worker is going down."""
        self._write(
            **_QUEUED_AGAIN, due_at=utcnow(), attempts=JOB.c.attempts - 1, dispatched_at=None
        )

    def _end(self, state: JobState, **values: Any) -> None:
        self._write(state=state, claim=None, lease_until=None, finished_at=utcnow(), **values)

    def _write(self, **values: Any) -> None:
        mine = update(JOB).where(JOB.c.id == self.job_id, JOB.c.claim == self.token)
        if rowcount(mine.values(**values)) == 0:
            raise LeaseLost(str(self.job_id))


_QUEUED_AGAIN: dict[str, Any] = {"state": JobState.QUEUED, "claim": None, "lease_until": None}


def claim(job_id: uuid.UUID) -> tuple[JobLease, Job] | None:
    """Start a queued job, in a transaction of its own. None if there is nothing to start."""
    now = utcnow()
    token = uuid.uuid4()
    due = Job.due_at <= now + CLOCK_TOLERANCE
    startable = update(Job).where(Job.id == job_id, Job.state == JobState.QUEUED, due)
    started = startable.values(
        state=JobState.RUNNING,
        claim=token,
        lease_until=now + LEASE,
        started_at=db.func.coalesce(Job.started_at, now),
        attempts=Job.attempts + 1,
        done_at_claim=Job.done,
    ).returning(Job)
    # If the host lost power now, the job would be found queued, and nothing of it done.
    with transaction(durable=False):
        job = db.session.scalar(started, execution_options={"populate_existing": True})
    return None if job is None else (JobLease(job_id, token), job)
