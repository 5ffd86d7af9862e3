"""The way of notices to the services of NOTIFY_URLS: attempts, retries and their end."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select

from automart.core.config import current_settings
from automart.core.db import db, for_update, utcnow
from automart.notices.models import Notice, NoticeState
from automart.web.fields import rfc3339

log = structlog.get_logger(__name__)

# After each failed attempt; the last one is repeated.
RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
)
GIVEN_UP_AFTER = timedelta(days=3)
_IS_PENDING = Notice.state == NoticeState.PENDING


def fingerprint(url: str) -> str:
    """Return what identifies `url` in the database, from which the URL cannot be computed."""
    key = current_settings().secret_key.encode()
    return hmac.new(key, url.encode(), hashlib.sha256).hexdigest()[:32]


def next_due() -> Notice | None:
    """Return the pending notice that has been due for the longest time."""
    due = select(Notice).where(_IS_PENDING, Notice.next_attempt_at <= utcnow())
    notice: Notice | None = db.session.scalar(
        due.order_by(Notice.next_attempt_at, Notice.id).limit(1),
        execution_options={"populate_existing": True},
    )
    return notice


def next_attempt_at() -> datetime | None:
    """Return when the next attempt is due, None if no notice is pending."""
    return db.session.scalar(select(func.min(Notice.next_attempt_at)).where(_IS_PENDING))


def pending_count() -> int:
    """Return the number of pending notices."""
    return db.session.scalar(select(func.count(Notice.id)).where(_IS_PENDING)) or 0


def record_acceptance(notice_id: int, url: str) -> None:
    """Record that a service has accepted a notice, in the current transaction."""
    notice = _lock(notice_id)
    notice.accepted_by = notice.accepted_by | {fingerprint(url): rfc3339(utcnow())}


def conclude_attempt(notice_id: int) -> None:
    """End a notice that all services have accepted, or schedule its retry, in the current
    transaction."""
    notice, now = _lock(notice_id), utcnow()
    urls = current_settings().notify_urls
    if urls and all(fingerprint(url) in notice.accepted_by for url in urls):
        notice.update({"state": NoticeState.SENT, "next_attempt_at": None, "ended_at": now})
        log.info("notice_sent", notice_id=notice.id, title=notice.title)
        return
    if not urls or now - notice.created_at >= GIVEN_UP_AFTER:
        notice.update({"state": NoticeState.FAILED, "next_attempt_at": None, "ended_at": now})
        reason = "It was not accepted." if urls else "NOTIFY_URLS is not set any more."
        log.error("notice_given_up", notice_id=notice.id, title=notice.title, reason=reason)
        return
    pause = RETRY_AFTER[min(notice.tries, len(RETRY_AFTER) - 1)]
    notice.update({"tries": notice.tries + 1, "next_attempt_at": now + pause})


def _lock(notice_id: int) -> Notice:
    return db.session.scalars(
        for_update(select(Notice).where(Notice.id == notice_id), Notice)
    ).one()
