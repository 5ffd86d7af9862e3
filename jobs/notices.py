"""The job that sends notices to the services of NOTIFY_URLS."""

from __future__ import annotations

import time

import structlog
from rq.timeouts import BaseTimeoutException

from automart.core.config import current_settings
from automart.core.db import (
    lock_name,
    refuse_in_transaction,
    release_connection,
    transaction,
    utcnow,
)
from automart.notices import deliveries
from automart.notices.models import Notice
from automart.notices.service import LOCK, ensure_job
from jobs.context import Requeue, Run

log = structlog.get_logger(__name__)

# A service takes at most 20 seconds: one more begun at the end of the slice is within the limit.
TIME_SLICE_SECONDS = 60.0


def notice_delivery(run: Run) -> None:
    """Send all notices that are due.

    Safe to run again at any point. What a service has accepted is recorded at once, and not sent to
    it again: only a process that is killed between the two sends a notice twice.
    """
    slice_ends = time.monotonic() + TIME_SLICE_SECONDS
    while True:
        notice = deliveries.next_due()
        release_connection()
        if notice is None:
            if _finish(run):
                return
            continue
        _deliver(run, notice, slice_ends)


def _finish(run: Run) -> bool:
    """End the job, unless a notice has become due. Submit the job of the next attempt."""
    with transaction():
        lock_name(LOCK)
        due_at = deliveries.next_attempt_at()
        if due_at is not None and due_at <= utcnow():
            return False
        run.lease.succeed({"pending": deliveries.pending_count()})
        if due_at is not None:
            ensure_job(due_at)
    return True


def _deliver(run: Run, notice: Notice, slice_ends: float) -> None:
    for place, url in enumerate(current_settings().notify_urls, 1):
        if deliveries.fingerprint(url) in notice.accepted_by:
            continue
        run.check_stop()
        if time.monotonic() > slice_ends:
            raise Requeue("The time slice is over.")
        if _is_accepted(url, notice, place):
            with transaction():
                run.lease.advance()
                deliveries.record_acceptance(notice.id, url)
    with transaction():
        run.lease.advance()
        deliveries.conclude_attempt(notice.id)


def _is_accepted(url: str, notice: Notice, place: int) -> bool:
    # Imported late, because it takes most of a second. Processes that find NOTIFY_URLS set have
    # imported it at their start.
    from automart.core.notification_services import send_notice, service_name  # noqa: PLC0415

    refuse_in_transaction("sending a notice")
    error: str | None = None
    try:
        is_accepted = send_notice(url, notice.title, notice.body)
    except BaseTimeoutException:
        raise
    except Exception as unexpected:
        # Its text, and the traceback, may quote the URL.
        is_accepted, error = False, type(unexpected).__name__
    if not is_accepted:
        log.warning(
            "notice_not_accepted",
            notice_id=notice.id,
            service=service_name(url),
            url_number=place,
            tries=notice.tries + 1,
            error=error,
        )
    return is_accepted
