"""The vehicle sync: one request and one transaction for each make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from http import HTTPStatus

import structlog

from automart.background.leases import JobLease
from automart.background.models import Job
from automart.catalogue import sync
from automart.catalogue.changes import publish
from automart.catalogue.models import OutcomeState
from automart.catalogue.nhtsa import LONGEST_PAUSE_OF_SYNC, NhtsaClient, NhtsaError
from automart.catalogue.shared_pace import RedisSlots
from automart.catalogue.sync import PendingMake
from automart.core.config import current_settings
from automart.core.db import db, transaction
from automart.core.errors import problem
from jobs.context import Run

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 8
REQUESTS_AHEAD = 2 * MAX_CONNECTIONS
STOP_CHECK_INTERVAL = 0.5
UNANSWERED_ALLOWED = 5

NhtsaAnswer = dict[int, str] | NhtsaError


def vehicle_sync(
    run: Run, make_ids: Sequence[int] | None, approve_deletions: bool, dry_run: bool = False
) -> None:
    """Update the models of these makes, or of all makes, to those of NHTSA. A dry run only records
    the changes.

    Safe to run again at any point: makes that have an outcome are not requested again.
    """
    _enqueue(run.lease, make_ids)
    settings = current_settings()
    unanswered = 0  # makes in a row
    ended_by: str | None = None
    with NhtsaClient(
        settings.nhtsa_url,
        rate=settings.nhtsa_requests_per_second,
        connections=MAX_CONNECTIONS,
        longest_pause=LONGEST_PAUSE_OF_SYNC,
        slots=RedisSlots.of_current_app(),
    ) as client:
        for make, answer in _answers(client, sync.pending_makes(run.lease.job_id), run):
            _record(run.lease, make, answer, approved=approve_deletions, dry_run=dry_run)
            is_unanswered = isinstance(answer, NhtsaError) and answer.is_passing
            unanswered = unanswered + 1 if is_unanswered else 0
            if isinstance(answer, NhtsaError) and answer.ends_run:
                ended_by = str(answer)
                _fail_remaining(run.lease, f"{sync.NOT_REQUESTED}. {answer}")
                break
            if unanswered == UNANSWERED_ALLOWED:
                ended_by = str(answer)
                reason = f"{sync.NOT_REQUESTED}: {unanswered} makes in a row failed. {answer}"
                _fail_remaining(run.lease, reason)
                break
    _conclude(run.lease, ended_by)


def _enqueue(lease: JobLease, make_ids: Sequence[int] | None) -> None:
    with transaction():
        job = db.session.get_one(Job, lease.job_id)
        if job.total is None:
            lease.expect(sync.enqueue_makes(lease.job_id, make_ids))


def _answers(
    client: NhtsaClient, pending_makes: Iterable[PendingMake], run: Run
) -> Iterator[tuple[PendingMake, NhtsaAnswer]]:
    """Yield NHTSA's answers in order of arrival, with some requests under way. Raises `Requeue`."""
    pool = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix="nhtsa")
    try:
        requests: dict[Future[NhtsaAnswer], PendingMake] = {}
        for make in pending_makes:
            requests[pool.submit(_request, client, make)] = make
            if len(requests) >= REQUESTS_AHEAD:
                yield from _completed(requests, run)
        while requests:
            yield from _completed(requests, run)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _completed(
    requests: dict[Future[NhtsaAnswer], PendingMake], run: Run
) -> Iterator[tuple[PendingMake, NhtsaAnswer]]:
    done: set[Future[NhtsaAnswer]] = set()
    while not done:
        run.check_stop()
        done, _ = wait(requests, timeout=STOP_CHECK_INTERVAL, return_when=FIRST_COMPLETED)
    for future in done:
        yield requests.pop(future), future.result()


def _request(client: NhtsaClient, make: PendingMake) -> NhtsaAnswer:
    try:
        models = client.models(make.make_id)
        if not models and make.has_models:
            # NHTSA's answers are sometimes empty by mistake.
            models = client.models(make.make_id)
    except NhtsaError as error:
        return error
    return models


def _record(
    lease: JobLease, make: PendingMake, answer: NhtsaAnswer, *, approved: bool, dry_run: bool
) -> None:
    # After a power failure the job finds the make without outcome, and requests it again.
    with transaction(durable=False):
        lease.advance()
        if isinstance(answer, NhtsaError):
            log.warning("make_failed", make_id=make.make_id, reason=str(answer))
            sync.record_outcome(lease.job_id, make.make_id, OutcomeState.FAILED, reason=str(answer))
            return
        reason = sync.apply(lease.job_id, make, answer, approved=approved, dry_run=dry_run)
    if reason is not None and not dry_run:
        log.warning("make_held", make_id=make.make_id, make=make.name, reason=reason)


def _fail_remaining(lease: JobLease, reason: str) -> None:
    log.error("sync_aborted", reason=reason)
    with transaction():
        lease.advance(sync.fail_remaining(lease.job_id, reason))


def _conclude(lease: JobLease, ended_by: str | None) -> None:
    with transaction():
        publish()
        result = sync.summary(lease.job_id)
        failed = result["makes_failed"]
        others = result["makes_updated"] or result["makes_unchanged"] or result["makes_held"]
        if failed and not others:
            why = f": {ended_by}" if ended_by else f". The first: {failed[0]['reason']}"
            detail = f"All {len(failed)} makes failed{why}"
            lease.fail(problem(HTTPStatus.BAD_GATEWAY, detail), result)
        else:
            lease.succeed(result)
