"""The vehicle sync: a request for each make, a transaction for answers that arrive together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from automart.background.leases import JobLease
from automart.background.models import Job
from automart.catalogue import sync
from automart.catalogue.changes import publish
from automart.catalogue.nhtsa import LONGEST_PAUSE_OF_SYNC, NhtsaClient, NhtsaError
from automart.catalogue.shared_pace import RedisSlots
from automart.catalogue.sync import PendingMake
from automart.core.config import current_settings
from automart.core.db import db, transaction
from automart.core.errors import problem
from automart.core.outages import database_outage
from jobs.context import Run

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 8
REQUESTS_AHEAD = 2 * MAX_CONNECTIONS
# Answers that arrive within this time are stored together.
BATCH_SECONDS = 0.05
MAX_BATCH = 100
STOP_CHECK_INTERVAL = 0.5
UNANSWERED_ALLOWED = 5
NOT_STORED = "The models could not be stored. The error has been logged."

Answer = tuple[PendingMake, dict[int, str] | NhtsaError]


def vehicle_sync(
    run: Run, make_ids: Sequence[int] | None, approve_deletions: bool, dry_run: bool = False
) -> None:
    """Update the models of these makes, or of all makes, to those of NHTSA. A dry run only records
    the changes.

    Safe to run again at any point: makes that have an outcome are not requested again.
    """
    _enqueue(run.lease, make_ids)
    settings = current_settings()
    breaker = _Breaker()
    with NhtsaClient(
        settings.nhtsa_url,
        rate=settings.nhtsa_requests_per_second,
        connections=MAX_CONNECTIONS,
        longest_pause=LONGEST_PAUSE_OF_SYNC,
        slots=RedisSlots.of_current_app(),
    ) as client:
        for answers in _batches(client, sync.pending_makes(run.lease.job_id), run):
            _record(run.lease, answers, approved=approve_deletions, dry_run=dry_run)
            if breaker.is_opened_by(answers):
                _fail_remaining(run.lease, breaker.reason)
                break
    _conclude(run.lease, breaker.last_error)


def _enqueue(lease: JobLease, make_ids: Sequence[int] | None) -> None:
    with transaction():
        job = db.session.get_one(Job, lease.job_id)
        if job.total is None:
            lease.expect(sync.enqueue_makes(lease.job_id, make_ids))


class _Breaker:
    """Ends a sync whose other makes would fail, too."""

    def __init__(self) -> None:
        self._unanswered = 0  # makes in a row
        self.reason = ""
        self.last_error: str | None = None

    def is_opened_by(self, answers: Sequence[Answer]) -> bool:
        """Return whether the sync should end after these answers. `reason` says why."""
        for _, answer in answers:
            is_unanswered = isinstance(answer, NhtsaError) and answer.is_passing
            self._unanswered = self._unanswered + 1 if is_unanswered else 0
            if isinstance(answer, NhtsaError) and answer.ends_run:
                self.reason = f"{sync.NOT_REQUESTED}. {answer}"
            elif self._unanswered == UNANSWERED_ALLOWED:
                self.reason = (
                    f"{sync.NOT_REQUESTED}: {self._unanswered} makes in a row failed. {answer}"
                )
            if self.reason:
                self.last_error = str(answer)
                return True
        return False


class _Requests:
    """Requests for the models of makes, of which some are under way at any time."""

    def __init__(self, client: NhtsaClient, makes: Iterator[PendingMake]) -> None:
        self._client = client
        self._makes = makes
        self._pool = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix="nhtsa")
        self._ended: SimpleQueue[Future[Answer]] = SimpleQueue()
        self.under_way = 0

    def send(self, count: int) -> None:
        for make in islice(self._makes, count):
            self.under_way += 1
            self._pool.submit(_answer, self._client, make).add_done_callback(self._ended.put)

    def answers(self, stopping: threading.Event) -> list[Answer]:
        """Return answers that arrive together, none if none arrives soon. Send more requests."""
        found: list[Answer] = []
        until = time.monotonic() + STOP_CHECK_INTERVAL
        while self.under_way and len(found) < MAX_BATCH and not stopping.is_set():
            try:
                ended = self._ended.get(timeout=max(until - time.monotonic(), 0))
            except Empty:
                break
            self.under_way -= 1
            self.send(1)
            if not found:
                until = time.monotonic() + BATCH_SECONDS
            found.append(ended.result())
        return found

    def abandon(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _batches(
    client: NhtsaClient, makes: Iterator[PendingMake], run: Run
) -> Iterator[Sequence[Answer]]:
    """Yield NHTSA's answers in order of arrival. Raises `Requeue`."""
    requests = _Requests(client, makes)
    try:
        requests.send(REQUESTS_AHEAD)
        while requests.under_way:
            run.check_stop()
            if answers := requests.answers(run.stopping):
                yield answers
    finally:
        requests.abandon()


def _answer(client: NhtsaClient, make: PendingMake) -> Answer:
    try:
        models = client.models(make.make_id)
        if not models and make.has_models:
            # NHTSA's answers are sometimes empty by mistake.
            models = client.models(make.make_id)
    except NhtsaError as error:
        return make, error
    return make, models


def _record(lease: JobLease, answers: Sequence[Answer], *, approved: bool, dry_run: bool) -> None:
    try:
        _store(lease, answers, approved=approved, dry_run=dry_run)
    except DBAPIError as error:
        if database_outage(error) is not None:
            raise
        if len(answers) > 1:  # one must not keep the others from being stored
            for answer in answers:
                _record(lease, [answer], approved=approved, dry_run=dry_run)
            return
        (make, _), *_ = answers
        log.exception("make_not_stored", make_id=make.make_id)
        _store(lease, [(make, NhtsaError(NOT_STORED))], approved=approved, dry_run=dry_run)


def _store(lease: JobLease, answers: Sequence[Answer], *, approved: bool, dry_run: bool) -> None:
    failed = {make.make_id: str(a) for make, a in answers if isinstance(a, NhtsaError)}
    fetched = {make.make_id: a for make, a in answers if not isinstance(a, NhtsaError)}
    # After a power failure the job finds the makes without outcome, and requests them again.
    with transaction(durable=False):
        lease.advance(len(answers))
        sync.fail(lease.job_id, failed)
        held = sync.apply(lease.job_id, fetched, approved=approved, dry_run=dry_run)
    for make_id, reason in failed.items():
        log.warning("make_failed", make_id=make_id, reason=reason)
    for plan in [] if dry_run else held:
        make = plan.make
        log.warning("make_held", make_id=make.id, make=make.name, reason=plan.reason_to_hold)


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
            detail = _why_all_failed(failed, ended_by)
            lease.fail(problem(HTTPStatus.BAD_GATEWAY, detail), result)
        else:
            lease.succeed(result)


def _why_all_failed(failed: Sequence[Mapping[str, Any]], ended_by: str | None) -> str:
    first = failed[0]["reason"]
    if len(failed) == 1:
        return f"The make failed: {first}"
    why = f": {ended_by}" if ended_by else f". The first: {first}"
    return f"All {len(failed)} makes failed{why}"
