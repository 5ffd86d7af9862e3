"""The one function that RQ calls: claims a job, runs its function, and records how it ended."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from rq.timeouts import JobTimeoutException
from sqlalchemy.exc import DBAPIError
from werkzeug.utils import import_string

from automart.background.kinds import Kind
from automart.background.leases import JobLease, LeaseLost, claim
from automart.background.models import Job
from automart.core.db import db, is_transient, transaction
from automart.core.errors import DomainError, problem
from jobs.context import Requeue, Run, renewed, stopping

log = structlog.get_logger(__name__)


def run(job_id: str) -> None:
    """Run a job if it is queued and due. Safe to call any number of times."""
    structlog.contextvars.bind_contextvars(job_id=job_id)
    found = claim(uuid.UUID(job_id))
    if found is None:
        log.info("job_not_startable")
        return
    held, job = found
    structlog.contextvars.bind_contextvars(
        request_id=job.request_id, kind=job.kind, caller=job.owner
    )
    log.info("job_started", attempt=job.attempts)
    with renewed(held):
        _perform(held, job)
    db.session.remove()


def _perform(held: JobLease, job: Job) -> None:
    function: Callable[..., None] = import_string(Kind.named(job.kind).function)
    try:
        function(Run(held, stopping), **job.arguments)
        log.info("job_ended")
    except Requeue:
        with transaction():
            held.requeue()
        log.info("job_handed_back")
    except LeaseLost:
        log.warning("job_taken_away")
    except DomainError as error:
        _fail(held, error.as_problem())
    except JobTimeoutException:
        _fail(held, _problem(f"It took longer than its limit of {job.time_limit} seconds."))
    except Exception as error:
        if isinstance(error, DBAPIError) and is_transient(error):
            # Nothing can be recorded. The lease runs out, and the job goes on.
            log.exception("job_lost_database")
        else:
            _fail(held, _problem("This is our fault. It has been logged."))
        raise  # RQ lists it among the failed jobs, with the traceback


def _fail(held: JobLease, error: dict[str, Any]) -> None:
    log.error("job_failed", detail=error["detail"], exc_info=error["status"] >= 500)
    try:
        with transaction():
            held.fail(error)
    except LeaseLost:
        log.warning("job_taken_away")


def _problem(detail: str) -> dict[str, Any]:
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
