"""The lease of a running job: claimed before any work, checked with every write."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Integer, Row, Update, bindparam, func, update

from automart.background.models import Job, JobState
from automart.core.db import db, rowcount, table_of, transaction, utcnow

LEASE = timedelta(seconds=12)
RENEWAL_INTERVAL = timedelta(seconds=4)
# The clock of the host that dispatched the job may be slightly ahead.
CLOCK_TOLERANCE = timedelta(seconds=2)


JOB = table_of(Job)
_HELD = update(JOB).where(JOB.c.id == bindparam("of_job"), JOB.c.claim == bindparam("of_claim"))
_HELD_AGAIN = _HELD.values(attempts=JOB.c.attempts - 1)
_ADVANCE = _HELD.values(done=JOB.c.done + bindparam("steps", type_=Integer))


class LeaseLost(Exception):
    """The job was cancelled, or queued again because its lease was not renewed in time."""


@dataclass(slots=True)
class JobLease:
    """The exclusive right to run a job. Its methods raise `LeaseLost` once the right has ended.

    `has_ended` says whether this process has ended the lease itself, and `outcome` how the job has
    ended then. `failure` is the reason of a failed one.
    """

    job_id: uuid.UUID
    token: uuid.UUID
    has_ended: bool = field(default=False, init=False)
    outcome: JobState = field(default=JobState.QUEUED, init=False)
    failure: str | None = field(default=None, init=False)

    def renew(self) -> None:
        """Prolong the lease by another `LEASE`."""
        with transaction(durable=False):
            self._write(lease_until=utcnow() + LEASE)

    def advance(self, steps: int = 1) -> None:
        """Count progress. Call it first in each transaction of the job: it is also the fence.

        It locks the job's row: another process can take, cancel or advance the job only after the
        transaction.
        """
        parameters = {"of_job": self.job_id, "of_claim": self.token, "steps": steps}
        if rowcount(_ADVANCE, parameters) == 0:
            raise LeaseLost(str(self.job_id))

    def expect(self, total: int) -> None:
        """Set the total number of steps."""
        self._write(total=total)

    def succeed(self, result: dict[str, Any] | None) -> None:
        """End the job with `result`."""
        self._end(JobState.SUCCEEDED, result=result)

    def fail(self, error: dict[str, Any], result: dict[str, Any] | None = None) -> None:
        """End the job with `error`, a problem object."""
        self._end(JobState.FAILED, error=error, result=result)
        self.failure = str(error.get("detail"))

    def requeue(self) -> None:
        """Queue the job again as it stands. This run does not count as an attempt."""
        self._write(_HELD_AGAIN, **_QUEUED_AGAIN, due_at=utcnow(), dispatched_at=None)
        self.has_ended, self.failure = True, None

    def _end(self, state: JobState, **values: Any) -> None:
        self._write(state=state, claim=None, lease_until=None, finished_at=utcnow(), **values)
        self.has_ended, self.outcome = True, state

    def _write(self, statement: Update | None = None, **values: Any) -> None:
        parameters = {"of_job": self.job_id, "of_claim": self.token, **values}
        if rowcount(_HELD if statement is None else statement, parameters) == 0:
            raise LeaseLost(str(self.job_id))


_QUEUED_AGAIN: dict[str, Any] = {"state": JobState.QUEUED, "claim": None, "lease_until": None}


_CLAIM = (
    update(JOB)
    .where(
        JOB.c.id == bindparam("of_job"),
        JOB.c.state == JobState.QUEUED,
        JOB.c.due_at <= bindparam("latest"),
    )
    .values(
        state=JobState.RUNNING,
        claim=bindparam("of_claim"),
        lease_until=bindparam("until"),
        started_at=func.coalesce(JOB.c.started_at, bindparam("now", type_=JOB.c.started_at.type)),
        attempts=JOB.c.attempts + 1,
        done_at_claim=JOB.c.done,
    )
    .returning(
        JOB.c.kind,
        JOB.c.arguments,
        JOB.c.time_limit,
        JOB.c.owner,
        JOB.c.request_id,
        JOB.c.attempts,
    )
)


def claim(job_id: uuid.UUID) -> tuple[JobLease, Row[Any]] | None:
    """Start a job, in a transaction of its own. Return its lease, and what it takes to run it; None
    unless it is queued and due."""
    now, token = utcnow(), uuid.uuid4()
    parameters = {
        "of_job": job_id,
        "of_claim": token,
        "now": now,
        "latest": now + CLOCK_TOLERANCE,
        "until": now + LEASE,
    }
    # After a power failure the job is found queued, with none of its work done.
    with transaction(durable=False):
        job = db.session.execute(_CLAIM, parameters).one_or_none()
    return None if job is None else (JobLease(job_id, token), job)
