"""The function that RQ calls for every job: claim the job, run it, record how it ended."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from rq.timeouts import JobTimeoutException
from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError
from werkzeug.utils import import_string

from automart.background.kinds import KINDS
from automart.background.leases import JobLease, LeaseLost, claim
from automart.core.db import db, transaction
from automart.core.errors import DomainError, problem
from automart.core.outages import database_outage
from jobs.context import Requeue, Run, renewed, stopping

log = structlog.get_logger(__name__)


def run(job_id: str) -> str | None:
    """Run a job if it is queued and due. Return the reason if it failed.

    Safe to call any number of times.
    """
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job_id=job_id)
    claimed = claim(uuid.UUID(job_id))
    if claimed is None:
        log.info("job_not_claimed")
        return None
    lease, job = claimed
    structlog.contextvars.bind_contextvars(
        request_id=job.request_id, kind=job.kind, caller=job.owner
    )
    log.info("job_started", attempt=job.attempts)
    began = time.monotonic()
    with renewed(lease):
        _perform(lease, job, began)
    db.session.remove()
    return lease.failure


def _perform(lease: JobLease, job: Row[Any], began: float) -> None:
    try:
        _call(lease, job)
        log.info("job_ended", state=lease.outcome, detail=lease.failure, **_duration(began))
    except Requeue as reason:
        with transaction():
            lease.requeue()
        log.info("job_requeued", reason=str(reason))
    except LeaseLost:
        log.warning("job_lease_lost")
    except DomainError as error:
        _fail(lease, error.as_problem(), began)
    except JobTimeoutException:
        _fail(
            lease,
            _problem(f"The job took longer than its limit of {job.time_limit} seconds."),
            began,
        )
    except Exception as error:
        if isinstance(error, DBAPIError) and database_outage(error) is not None:
            # Nothing can be recorded. When the lease has run out, the job is queued again.
            log.exception("job_lost_database")
        else:
            _fail(lease, _problem("Internal error. It has been logged."), began)
        raise  # RQ lists it among the failed jobs, with the traceback


def _call(lease: JobLease, job: Row[Any]) -> None:
    name = KINDS[job.kind].function
    function: Callable[..., None] = import_string(name)
    function(Run(lease, stopping), **job.arguments)
    if not lease.has_ended:
        raise RuntimeError(f"{name} has not ended its lease.")


def _fail(lease: JobLease, error: dict[str, Any], began: float) -> None:
    is_internal = error["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR
    log.error("job_failed", detail=error["detail"], exc_info=is_internal, **_duration(began))
    try:
        with transaction():
            lease.fail(error)
    except LeaseLost:
        log.warning("job_lease_lost")


def _duration(began: float) -> dict[str, float]:
    return {"duration_s": round(time.monotonic() - began, 3)}


def _problem(detail: str) -> dict[str, Any]:
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
