"""What housekeeping does for notices."""

from __future__ import annotations

from datetime import timedelta

from automart.core.db import delete_in_batches, lock_name, release_connection, transaction, utcnow
from automart.notices.deliveries import next_due
from automart.notices.models import Notice
from automart.notices.service import LOCK, ensure_job, record_notices

__all__ = ["expire_notices", "record_notices", "resume_notices"]

KEPT_FOR = timedelta(days=30)


def resume_notices() -> bool:
    """Submit the job that sends notices if one is overdue, because the job failed. Return whether
    one is."""
    is_overdue = next_due() is not None
    release_connection()
    if is_overdue:
        with transaction():
            lock_name(LOCK)
            ensure_job()
    return is_overdue


def expire_notices() -> int:
    """Delete notices that ended more than 30 days ago. Return their number."""
    return delete_in_batches(Notice, Notice.ended_at < utcnow() - KEPT_FOR)
