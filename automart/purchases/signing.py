"""What the deliveries to an office are signed with, in the form of Standard Webhooks."""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta

import structlog
from sqlalchemy import or_, select, update

from automart.db import db, delete_in_parts, transaction, utcnow
from automart.encryption import CannotDecrypt, Rotation, decrypt, encrypt, rotate_rows
from automart.purchases.models import WebhookSecret

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
    encrypted = encrypt(secret.encode())
    db.session.add(
        WebhookSecret(regional_office_id=regional_office_id, sealed=encrypted, created_at=now)
    )
    return secret


def good_secrets(regional_office_id: int) -> list[str]:
    """Return the secrets that sign now, newest first, without those that cannot be decrypted."""
    good = or_(
        WebhookSecret.retired_at.is_(None),
        WebhookSecret.retired_at > utcnow() - GOOD_AFTER_RETIREMENT,
    )
    rows = (
        select(WebhookSecret)
        .where(WebhookSecret.regional_office_id == regional_office_id, good)
        .order_by(WebhookSecret.id.desc())
    )
    return list(filter(None, map(_decrypted, db.session.scalars(rows))))


def rotate_encryption() -> Rotation:
    """Encrypt all webhook secrets under the current `SECRET_KEY`."""
    with transaction():
        rows = db.session.scalars(
            select(WebhookSecret).order_by(WebhookSecret.id).with_for_update()
        )
        named = ((f"webhook secret of office {row.regional_office_id}", row) for row in rows)
        return rotate_rows(named, "sealed")


def forget_old_secrets() -> int:
    """Delete the secrets that sign nothing any more. Answers how many."""
    old = WebhookSecret.retired_at < utcnow() - GOOD_AFTER_RETIREMENT
    return delete_in_parts(WebhookSecret, old)


def _decrypted(row: WebhookSecret) -> str | None:
    try:
        return decrypt(row.sealed).decode()
    except CannotDecrypt as error:
        # What is made after SECRET_KEY was lost signs alone.
        log.warning(
            "webhook_secret_encrypted_under_another_secret",
            regional_office_id=row.regional_office_id,
            error=str(error),
        )
        return None
