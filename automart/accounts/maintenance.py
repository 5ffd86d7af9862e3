"""What housekeeping does for accounts."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import or_

from automart.accounts.login_throttle import now_ms
from automart.accounts.models import AuditEvent, FamiliarAddress, Login, LoginThrottle
from automart.core.db import delete_in_batches, utcnow

AUDIT_EVENTS_KEPT_FOR = timedelta(days=365)
FAMILIAR_ADDRESSES_KEPT_FOR = timedelta(days=90)
# Ended logins are kept for a while, so that the reuse of their tokens is still detected.
LOGINS_KEPT_FOR = timedelta(days=1)


def expire_logins() -> int:
    """Delete logins that ended more than a day ago, with their tokens. Return their number."""
    before = utcnow() - LOGINS_KEPT_FOR
    return delete_in_batches(Login, or_(Login.expires_at < before, Login.ended_at < before))


def expire_login_throttles() -> int:
    """Delete limits that are no longer used up, and addresses unused for 90 days.

    Return their number.
    """
    unused = FamiliarAddress.seen_at < utcnow() - FAMILIAR_ADDRESSES_KEPT_FOR
    return delete_in_batches(
        LoginThrottle, LoginThrottle.charged_until < now_ms()
    ) + delete_in_batches(FamiliarAddress, unused)


def expire_audit_events() -> int:
    """Delete audit events that are more than a year old. Return their number."""
    return delete_in_batches(AuditEvent, AuditEvent.at < utcnow() - AUDIT_EVENTS_KEPT_FOR)
