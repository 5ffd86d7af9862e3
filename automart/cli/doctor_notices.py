"""The checks of `automart doctor` for notices."""

from __future__ import annotations

from sqlalchemy import func, select

from automart.cli.findings import Finding, Findings, Grade
from automart.core.config import Settings
from automart.core.db import db, release_connection
from automart.notices.models import Notice, NoticeState
from automart.web.fields import rfc3339


def setting_findings(settings: Settings) -> Findings:
    """Check NOTIFY_URLS. Invalid ones are refused with the other settings."""
    if settings.notify_urls:
        count = len(settings.notify_urls)
        yield Finding(Grade.OK, "NOTIFY_URLS", f"valid: {count} service{'s' * (count > 1)}")
    elif settings.vehicle_sync_at is not None:
        yield Finding(
            Grade.NOTE,
            "NOTIFY_URLS",
            "not set; nobody is notified when a nightly sync fails or holds makes",
            "Set it to URLs of Apprise, then run automart notify-test.",
        )


def notice_findings(settings: Settings) -> Findings:
    """Check that the services accept notices."""
    if not settings.notify_urls:
        return
    refused = (Notice.state == NoticeState.PENDING) & (Notice.tries > 0)
    waiting = select(func.count(), func.min(Notice.created_at)).where(refused)
    count, since = db.session.execute(waiting).one()
    release_connection()
    if not count:
        yield Finding(Grade.OK, "Notices", "none is refused")
        return
    detail = f"{count} not accepted, the oldest of {rfc3339(since.replace(microsecond=0))}"
    yield Finding(Grade.BAD, "Notices", detail, "Run automart notify-test.")
