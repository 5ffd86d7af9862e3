"""What the deliveries to an office are signed with, in the form of Standard Webhooks."""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta

import structlog
from sqlalchemy import or_, select, update

from automart.db import db, delete_in_parts, transaction, utcnow
from automart.purchases.models import WebhookSecret
from automart.sealing import CannotUnseal, reseal, seal, unseal

log = structlog.get_logger(__name__)

PREFIX = "whsec_"
# 24 to 64 bytes, says the specification.
BYTES = 32
GOOD_AFTER_RETIREMENT = timedelta(hours=24)


def rotate(regional_office_id: int) -> str:
    """A new secret for an office, in the present transaction; what it had signs for 24 hours yet.

    Answers it as `whsec_…`; it is not shown again.
    """
    now = utcnow()
    active = update(WebhookSecret).where(
        WebhookSecret.regional_office_id == regional_office_id, WebhookSecret.retired_at.is_(None)
    )
    db.session.execute(active.values(retired_at=now))
    secret = PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()
    sealed = seal(secret.encode())
    db.session.add(
        WebhookSecret(regional_office_id=regional_office_id, sealed=sealed, created_at=now)
    )
    return secret


def good_secrets(regional_office_id: int) -> list[str]:
    """What a delivery is signed with now, the newest first; what cannot be unsealed is left out."""
    good = or_(
        WebhookSecret.retired_at.is_(None),
        WebhookSecret.retired_at > utcnow() - GOOD_AFTER_RETIREMENT,
    )
    rows = (
        select(WebhookSecret)
        .where(WebhookSecret.regional_office_id == regional_office_id, good)
        .order_by(WebhookSecret.id.desc())
    )
    return list(filter(None, map(_unsealed, db.session.scalars(rows))))


def reseal_secrets() -> int:
    """Put all secrets under the present `SECRET_KEY`. Answers how many."""
    with transaction():
        rows = list(db.session.scalars(select(WebhookSecret)))
        for row in rows:
            row.sealed = reseal(row.sealed)
    return len(rows)


def forget_old_secrets() -> int:
    """Delete the secrets that sign nothing any more. Answers how many."""
    old = WebhookSecret.retired_at < utcnow() - GOOD_AFTER_RETIREMENT
    return delete_in_parts(WebhookSecret, old)


def _unsealed(row: WebhookSecret) -> str | None:
    try:
        return unseal(row.sealed).decode()
    except CannotUnseal as error:
        # What is made after SECRET_KEY was lost signs alone.
        log.warning(
            "webhook_secret_sealed_under_another_secret",
            regional_office_id=row.regional_office_id,
            error=str(error),
        )
        return None
