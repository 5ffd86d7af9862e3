"""What housekeeping forgets: what is expired, used up, or old."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import or_

from automart.accounts.audit import forget_old_events
from automart.accounts.login_throttle import forget_old_throttles
from automart.accounts.models import AuthorizationCode, Login
from automart.core.db import delete_in_batches, utcnow
from automart.oauth.signing_keys import forget_old_keys

# A while longer than they are good for, so that a second use is still known for what it is.
KEPT_AFTER_THE_END = timedelta(days=1)


def forget_old_accounts_data() -> int:
    """Delete what nothing depends on any more. Answers how many."""
    before = utcnow() - KEPT_AFTER_THE_END
    ended = or_(Login.expires_at < before, Login.ended_at < before)
    return (
        delete_in_batches(AuthorizationCode, AuthorizationCode.expires_at < before)
        + delete_in_batches(Login, ended)
        + forget_old_events()
        + forget_old_keys()
        + forget_old_throttles()
    )
