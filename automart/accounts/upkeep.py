"""What housekeeping forgets: what is expired, used up, or old."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, or_

from automart.accounts.audit import forget_old_events
from automart.accounts.keys import forget_old_keys
from automart.accounts.models import AuthorizationCode, Login
from automart.accounts.throttle import forget_old_throttles
from automart.db import affected, utcnow

# A while longer than they are good for, so that a second use is still known for what it is.
KEPT_AFTER_THE_END = timedelta(days=1)


def forget_old_accounts_data() -> int:
    """Delete what nothing depends on any more, in the present transaction. Answers how many."""
    before = utcnow() - KEPT_AFTER_THE_END
    codes = delete(AuthorizationCode).where(AuthorizationCode.expires_at < before)
    logins = delete(Login).where(or_(Login.expires_at < before, Login.ended_at < before))
    return (
        affected(codes)
        + affected(logins)
        + forget_old_events()
        + forget_old_keys()
        + forget_old_throttles()
    )
