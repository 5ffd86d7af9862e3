"""Submit, find and cancel jobs. A job is a row first; its message follows after the commit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import uuid6
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    bindparam,
    cast,
    exists,
    or_,
    select,
    true,
    update,
)

from automart.background.kinds import KINDS, Kind
from automart.background.models import Job, JobState, SubmittedJob
from automart.background.queues import push
from automart.core.compiled_statement import CompiledStatement
from automart.core.db import (
    after_commit,
    db,
    for_update,
    in_transaction,
    insert,
    table_of,
    transaction,
    utcnow,
    write,
)
from automart.core.errors import Conflict, NotFound
from automart.core.keyset import among_first
from automart.core.logging import current_request_id
from automart.web.authorization import current_caller, current_caller_id
from automart.web.filters import where_given

DEFAULT_TIME_LIMIT = 120
JOB = table_of(Job)
SUBMITTED = (
    "id",
    "kind",
    "arguments",
    "state",
    "singleton",
    "time_limit",
    "done",
    "owner",
    "request_id",
    "attempts",
    "stalls",
    "done_at_claim",
    "created_at",
    "due_at",
    "dispatched_at",
)
"""The columns of a job that is submitted. The others are null."""


def submit(
    kind: Kind,
    *,
    singleton: str | None = None,
    time_limit: int = DEFAULT_TIME_LIMIT,
    due_at: datetime | None = None,
    owner: str | None = None,
    while_found: Select[Any] | None = None,
    **arguments: Any,
) -> Row[Any] | None:
    """Add a job in the current transaction, and dispatch it after the commit. Return its columns.

    Return None if there is a queued or running job with the same `singleton`, or if `while_found`
    finds nothing. That is a constant query of one column, which locks what the job needs; its
    `bindparam`s are among `arguments`. With it, the job may be a transaction of its own.
    `time_limit` is in seconds. A `due_at` in the future delays the job. `owner` is the current
    caller by default.
    """
    is_alone = not in_transaction()
    if is_alone and while_found is None:
        raise RuntimeError("submit() was called outside transaction().")
    now = utcnow()
    values = {
        "id": uuid6.uuid7(),
        "kind": kind.name,
        "arguments": arguments,
        "state": JobState.QUEUED,
        "singleton": singleton,
        "time_limit": time_limit,
        "done": 0,
        "owner": owner or current_caller_id(),
        "request_id": current_request_id(),
        "attempts": 0,
        "stalls": 0,
        "done_at_claim": 0,
        "created_at": now,
        "due_at": due_at or now,
        # Set in advance, which saves a transaction: housekeeping finds dispatched jobs that are in
        # no queue.
        "dispatched_at": now if due_at is None else None,
    }
    found_by = {} if while_found is None else arguments
    parameters = found_by | {f"new_{name}": values[name] for name in values}
    rows: Sequence[Row[Any]] = write(_new_job(db.engine.dialect.name, while_found), **parameters)
    if not rows:
        return None
    job = rows[0]
    if due_at is None and is_alone:
        _send_message(job)
    elif due_at is None:
        after_commit(lambda: _send_message(job))
    return job


@cache
def _new_job(_dialect: str, while_found: Select[Any] | None) -> CompiledStatement:
    """Return an INSERT of a job that returns nothing if there is one with its `singleton`.

    Finding that is normal, for example when an office sends many sales. A violated constraint would
    fill PostgreSQL's log with errors.
    """
    new = {name: bindparam(f"new_{name}", type_=JOB.c[name].type) for name in SUBMITTED}
    statement = insert(JOB)
    if while_found is None:
        statement = statement.values(new)
    else:
        # In a CTE, a SELECT may lock.
        found = select(while_found.cte("found")).scalar_subquery().is_not(None)
        rows = select(*new.values()).where(found)
        statement = statement.from_select(SUBMITTED, rows, include_defaults=False)
    return CompiledStatement(statement.on_conflict_do_nothing().returning(*JOB.columns))


def ensure_due(
    kind: Kind, *, singleton: str, due_at: datetime | None = None, owner: str, **arguments: Any
) -> SubmittedJob:
    """Return the active job with this `singleton`, due at `due_at` (default: now) at the latest.
    Submit it if there is none.

    If it is already running, it must look for more work in its final transaction. The caller must
    hold a lock that serializes the two.
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
            after_commit(lambda: _send_message(job))
    return job


def active_job(singleton: str) -> Job | None:
    """Return the queued or running job with this `singleton`, if any."""
    active = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
    return db.session.scalars(select(Job).where(Job.singleton == singleton, active)).one_or_none()


def has_active_job(kind: Kind, argument: str, ident: int) -> bool:
    """Whether a queued or running job of this kind refers to `ident` by this argument.

    A caller that is about to delete what has this id must have locked it `before_delete`: then no
    further job is submitted `while_found`.
    """
    # Not as_integer(): ids of own makes do not fit PostgreSQL's INTEGER.
    refers = cast(Job.arguments[argument].as_string(), BigInteger) == ident
    active = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
    return bool(db.session.scalar(select(exists().where(Job.kind == kind.name, active, refers))))


def visible_jobs() -> Select[Job]:
    """Return a query of the jobs that the current caller may see."""
    return select(Job).where(or_(*_visible_parts()))


def visible_jobs_before(
    query: Mapping[str, Any],
) -> Callable[[uuid.UUID | None, int], Sequence[Job]]:
    """Return a function for `paginate_by`.

    It finds the newest jobs that the current caller may see and that match `query`.
    """
    matching = where_given(select(Job.id), {Job.kind: query["kind"], Job.state: query["state"]})
    parts = [matching.where(part) for part in _visible_parts()]

    def fetch(last: uuid.UUID | None, count: int) -> Sequence[Job]:
        nexts = parts if last is None else [part.where(Job.id < last) for part in parts]
        page = select(Job).where(among_first(Job.id, nexts, count, newest_first=True))
        return db.session.scalars(page.order_by(Job.id.desc()).limit(count)).all()

    return fetch


def _visible_parts() -> list[ColumnElement[bool]]:
    """Return filters, each backed by an index, whose union the current caller may see.

    Administrators see all jobs, others their own and those of the kinds that they may start.
    """
    caller = current_caller()
    if caller.is_admin:
        return [true()]
    startable = [kind.name for kind in KINDS.values() if kind.scope and caller.may(kind.scope)]
    return [Job.owner == caller.id, *(Job.kind == name for name in startable)]


def find_job(job_id: uuid.UUID) -> Job:
    """Return a job that the caller may see. Raises `NotFound`."""
    return _found(visible_jobs().where(Job.id == job_id), job_id)


def lock_job(job_id: uuid.UUID) -> Job:
    """Return a job that the caller may see, locked. Raises `NotFound`."""
    return _found(for_update(visible_jobs().where(Job.id == job_id), Job), job_id)


def cancel_job(job: Job) -> None:
    """End a job at once. Raises `Conflict` if its kind cannot be cancelled, or if it has ended."""
    if not KINDS[job.kind].cancellable:
        raise Conflict(f"A {job.kind} cannot be cancelled once it has been accepted.")
    if job.state.has_ended:
        raise Conflict(f"The job has ended already: {job.state}.")
    job.update(
        {"state": JobState.CANCELLED, "claim": None, "lease_until": None, "finished_at": utcnow()}
    )


def _found(statement: Select[Job], job_id: uuid.UUID) -> Job:
    job: Job | None = db.session.scalars(statement).one_or_none()
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job


def _send_message(job: SubmittedJob) -> None:
    """Send the message of a job. If that fails, leave it to `maintenance.dispatch_due`."""
    if push([(job.id, KINDS[job.kind], job.time_limit)]):
        return
    with transaction():
        db.session.execute(
            update(Job)
            .where(Job.id == job.id, Job.state == JobState.QUEUED)
            .values(dispatched_at=None)
        )
