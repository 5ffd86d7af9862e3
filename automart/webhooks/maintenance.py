"""What housekeeping does for webhooks."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from automart.db import db, delete_in_parts, transaction, utcnow
from automart.webhooks.deliveries import ensure_job
from automart.webhooks.models import DeliveryState, WebhookDelivery, WebhookSecret
from automart.webhooks.service import lock_endpoint
from automart.webhooks.signing import VALID_AFTER_RETIREMENT

KEPT_FOR = timedelta(days=30)


def resume_stalled_endpoints() -> int:
    """Give a job to endpoints with overdue deliveries whose job failed. Return their number."""
    overdue = (
        select(WebhookDelivery.endpoint_id)
        .distinct()
        .where(
            WebhookDelivery.state == DeliveryState.PENDING,
            WebhookDelivery.next_attempt_at <= utcnow(),
        )
    )
    endpoint_ids = db.session.scalars(overdue).all()
    for endpoint_id in endpoint_ids:
        with transaction():
            lock_endpoint(endpoint_id)
            ensure_job(endpoint_id)
    return len(endpoint_ids)


def expire_deliveries() -> int:
    """Delete deliveries that ended more than 30 days ago. Return their number."""
    return delete_in_parts(WebhookDelivery, WebhookDelivery.ended_at < utcnow() - KEPT_FOR)


def expire_secrets() -> int:
    """Delete retired secrets that no longer sign. Return their number."""
    return delete_in_parts(
        WebhookSecret, WebhookSecret.retired_at < utcnow() - VALID_AFTER_RETIREMENT
    )
