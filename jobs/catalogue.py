"""The vehicle sync: one request and one transaction a make."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from http import HTTPStatus

import structlog

from automart.background.leases import JobLease
from automart.background.models import Job
from automart.catalogue import sync
from automart.catalogue.models import OutcomeState
from automart.catalogue.nhtsa import NhtsaClient, NhtsaError
from automart.catalogue.sync import PendingMake
from automart.core.config import current_settings
from automart.core.db import db, transaction
from automart.core.errors import problem
from jobs.context import Requeue, Run

log = structlog.get_logger(__name__)

CONNECTIONS = 8
AHEAD = 2 * CONNECTIONS
STOP_SEEN_WITHIN = 0.5
SHUT_OUT_ALLOWED = 5

Answer = dict[int, str] | NhtsaError


def vehicle_sync(run: Run, make_ids: Sequence[int] | None, approve_deletions: bool) -> None:
    """Bring the models of these makes, or of all, in step with NHTSA.

    Safe to run again at any point: makes that have an outcome are not asked for again.
    """
    _line_up(run.claim, make_ids)
    shut_out = 0
    settings = current_settings()
    with NhtsaClient(
        settings.nhtsa_url,
        rate=settings.nhtsa_requests_per_second,
        connections=CONNECTIONS,
    ) as client:
        for turn, answer in _answers(client, sync.pending_makes(run.claim.job_id), run.stopping):
            _record(run.claim, turn, answer, approved=approve_deletions)
            is_shut_out = isinstance(answer, NhtsaError) and answer.is_shut_out
            shut_out = shut_out + 1 if is_shut_out else 0
            if shut_out == SHUT_OUT_ALLOWED:
                _give_up(run.claim, f"Not asked: {shut_out} makes in a row failed. {answer}")
                break
    _conclude(run.claim)


def _line_up(claim: JobLease, make_ids: Sequence[int] | None) -> None:
    with transaction():
        job = db.session.get_one(Job, claim.job_id)
        if job.total is None:
            claim.expect(sync.enqueue_makes(claim.job_id, make_ids))


def _answers(
    client: NhtsaClient, pending_makes: Iterable[PendingMake], stopping: threading.Event
) -> Iterator[tuple[PendingMake, Answer]]:
    """NHTSA's answers as they arrive, a few asked for ahead. Raises `Stopping`."""
    pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="nhtsa")
    try:
        asked: dict[Future[Answer], PendingMake] = {}
        for turn in pending_makes:
            asked[pool.submit(_ask, client, turn)] = turn
            if len(asked) >= AHEAD:
                yield from _arrived(asked, stopping)
        while asked:
            yield from _arrived(asked, stopping)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _arrived(
    asked: dict[Future[Answer], PendingMake], stopping: threading.Event
) -> Iterator[tuple[PendingMake, Answer]]:
    done: set[Future[Answer]] = set()
    while not done:
        if stopping.is_set():
            raise Requeue
        done, _ = wait(asked, timeout=STOP_SEEN_WITHIN, return_when=FIRST_COMPLETED)
    for future in done:
        yield asked.pop(future), future.result()


def _ask(client: NhtsaClient, turn: PendingMake) -> Answer:
    try:
        models = client.models(turn.make_id)
        if not models and turn.has_models:
            # Now and then an answer is empty by mistake.
            models = client.models(turn.make_id)
    except NhtsaError as error:
        return error
    return models


def _record(claim: JobLease, turn: PendingMake, answer: Answer, *, approved: bool) -> None:
    # After a power failure the job would find this make without outcome, and ask again.
    with transaction(durable=False):
        claim.advance()
        if isinstance(answer, NhtsaError):
            log.warning("make_failed", make_id=turn.make_id, reason=str(answer))
            sync.record_outcome(claim.job_id, turn.make_id, OutcomeState.FAILED, reason=str(answer))
        else:
            sync.apply(claim.job_id, turn, answer, approved=approved)


def _give_up(claim: JobLease, reason: str) -> None:
    log.error("sync_given_up", reason=reason)
    with transaction():
        claim.advance(sync.fail_remaining(claim.job_id, reason))


def _conclude(claim: JobLease) -> None:
    with transaction():
        result = sync.summary(claim.job_id)
        failed = result["makes_failed"]
        others = result["makes_updated"] or result["makes_unchanged"] or result["makes_held"]
        if failed and not others:
            detail = f"All {len(failed)} makes failed. The first: {failed[0]['reason']}"
            claim.fail(problem(HTTPStatus.BAD_GATEWAY, detail), result)
        else:
            claim.succeed(result)
