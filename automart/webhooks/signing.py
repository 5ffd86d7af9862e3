"""Signatures in the form of Standard Webhooks, and the secrets that make them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Select, or_, select, update
from standardwebhooks import Webhook

from automart.core.db import db, for_update, transaction, utcnow
from automart.core.encryption import (
    CannotDecrypt,
    Rotation,
    decrypt,
    encrypt,
    rotate_rows,
    undecryptable,
)
from automart.webhooks.models import WebhookEndpoint, WebhookSecret

log = structlog.get_logger(__name__)

PREFIX = "whsec_"
# The specification asks for 24 to 64 bytes.
BYTES = 32
VALID_AFTER_RETIREMENT = timedelta(hours=24)


def create_secret(endpoint: WebhookEndpoint) -> str:
    """Add a secret to an endpoint and return it as `whsec_…`. It cannot be read again later."""
    secret = PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()
    row = WebhookSecret(endpoint_id=endpoint.id, encrypted=encrypt(secret.encode()))
    db.session.add(row)
    return secret


def retire_secrets(endpoint: WebhookEndpoint) -> None:
    """Let the current secrets of an endpoint expire in 24 hours."""
    current = update(WebhookSecret).where(
        WebhookSecret.endpoint_id == endpoint.id, WebhookSecret.retired_at.is_(None)
    )
    db.session.execute(current.values(retired_at=utcnow()))


def valid_secrets(endpoint_id: int) -> list[str]:
    """Return the secrets that sign now, newest first, without those that cannot be decrypted."""
    valid = or_(
        WebhookSecret.retired_at.is_(None),
        WebhookSecret.retired_at > utcnow() - VALID_AFTER_RETIREMENT,
    )
    rows = (
        select(WebhookSecret)
        .where(WebhookSecret.endpoint_id == endpoint_id, valid)
        .order_by(WebhookSecret.id.desc())
    )
    return list(filter(None, map(_decrypted, db.session.scalars(rows))))


def sign(webhook_id: str, at: datetime, body: str, signing_secrets: Sequence[str]) -> str:
    """Return the value of `webhook-signature`: one signature by each secret."""
    return " ".join(Webhook(secret).sign(webhook_id, at, body) for secret in signing_secrets)


def rotate_encryption() -> Rotation:
    """Encrypt all webhook secrets under the current `SECRET_KEY`."""
    with transaction():
        return rotate_rows(_named(for_update(_WITH_OFFICES, WebhookSecret)), "encrypted")


def undecryptable_secrets() -> list[str]:
    """Return the names of the current secrets that cannot be decrypted."""
    current = _WITH_OFFICES.where(WebhookSecret.retired_at.is_(None))
    return undecryptable(_named(current), "encrypted")


_WITH_OFFICES = (
    select(WebhookSecret, WebhookEndpoint.regional_office_id)
    .join(WebhookEndpoint, WebhookEndpoint.id == WebhookSecret.endpoint_id)
    .order_by(WebhookSecret.id)
)


def _named(secrets_with_offices: Select[WebhookSecret, int]) -> Iterator[tuple[str, WebhookSecret]]:
    for row, office_id in db.session.execute(secrets_with_offices):
        yield f"webhook secret of office {office_id}", row


def _decrypted(row: WebhookSecret) -> str | None:
    try:
        return decrypt(row.encrypted).decode()
    except CannotDecrypt as error:
        # A secret that is created after SECRET_KEY was lost signs alone.
        log.warning(
            "webhook_secret_encrypted_under_another_secret",
            endpoint_id=row.endpoint_id,
            error=str(error),
        )
        return None
