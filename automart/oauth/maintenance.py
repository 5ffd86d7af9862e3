"""What housekeeping does for authorization codes and signing keys."""

from __future__ import annotations

from datetime import timedelta

from automart.core.db import delete_in_batches, utcnow
from automart.oauth.models import AuthorizationCode, SigningKey
from automart.oauth.signing_keys import VERIFIES_AFTER_RETIREMENT

# Expired codes are kept for a while, so that a second use is still detected.
CODES_KEPT_FOR = timedelta(days=1)


def expire_authorization_codes() -> int:
    """Delete authorization codes that expired more than a day ago. Return their number."""
    expired = AuthorizationCode.expires_at < utcnow() - CODES_KEPT_FOR
    return delete_in_batches(AuthorizationCode, expired)


def expire_signing_keys() -> int:
    """Delete retired keys whose tokens have all expired. Return their number."""
    retired = SigningKey.retired_at < utcnow() - VERIFIES_AFTER_RETIREMENT
    return delete_in_batches(SigningKey, retired)
