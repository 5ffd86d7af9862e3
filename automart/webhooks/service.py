"""Creating, changing, pausing and deleting webhook endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import select, update

from automart.accounts import audit
from automart.db import db, for_update, lock_or_404, utcnow
from automart.errors import NotFound
from automart.webhooks import signing
from automart.webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

log = structlog.get_logger(__name__)

# The owner of delivery jobs, and the actor in the audit trail.
ACTOR = "webhooks"


def create_endpoint(
    regional_office_id: int, *, url: str | None, enabled: bool
) -> tuple[WebhookEndpoint, str]:
    """Add an endpoint with its first signing secret. Return both."""
    endpoint = WebhookEndpoint(regional_office_id=regional_office_id, url=url, enabled=enabled)
    db.session.add(endpoint)
    db.session.flush()  # gives endpoint.id
    return endpoint, signing.create_secret(endpoint)


def lock_endpoint(endpoint_id: int) -> WebhookEndpoint:
    """Return the endpoint, freshly read and locked. Raises `NotFound`.

    The lock serializes whatever adds work for the endpoint's delivery job, and the end of that job.
    """
    return lock_or_404(WebhookEndpoint, endpoint_id)


def lock_endpoint_of(regional_office_id: int) -> WebhookEndpoint:
    """Return a regional office's endpoint like `lock_endpoint`."""
    endpoint = select(WebhookEndpoint).where(
        WebhookEndpoint.regional_office_id == regional_office_id
    )
    found: WebhookEndpoint | None = db.session.scalar(for_update(endpoint, WebhookEndpoint))
    if found is None:
        raise NotFound(f"Regional office {regional_office_id} has no webhook endpoint.")
    return found


def update_endpoint(endpoint: WebhookEndpoint, changes: Mapping[str, Any]) -> None:
    """Change a locked endpoint. Pending deliveries fail if it is disabled or loses its URL."""
    before = endpoint.url, endpoint.enabled
    endpoint.update(changes)
    if before != (endpoint.url, endpoint.enabled):
        endpoint.failing_since = None
        if not endpoint.is_active:
            _fail_pending(endpoint)


def pause_endpoint(endpoint: WebhookEndpoint, reason: str) -> None:
    """Disable a locked endpoint that cannot be delivered to. Its pending deliveries fail."""
    endpoint.enabled = False
    _fail_pending(endpoint)
    log.warning("webhook_disabled", endpoint=endpoint.owner, reason=reason)
    audit.record(audit.Event.WEBHOOK_DISABLED, subject=endpoint.owner, actor=ACTOR, reason=reason)


def delete_endpoint(endpoint: WebhookEndpoint) -> None:
    """Delete a locked endpoint and its secrets. It must not have any deliveries."""
    db.session.delete(endpoint)


def rotate_secret(endpoint: WebhookEndpoint) -> str:
    """Add a signing secret to a locked endpoint and return it. Earlier ones sign for 24 hours."""
    signing.retire_secrets(endpoint)
    secret = signing.create_secret(endpoint)
    audit.record(audit.Event.WEBHOOK_SECRET_ROTATED, subject=endpoint.owner)
    return secret


def _fail_pending(endpoint: WebhookEndpoint) -> None:
    db.session.flush()
    pending = update(WebhookDelivery).where(
        WebhookDelivery.endpoint_id == endpoint.id, WebhookDelivery.state == DeliveryState.PENDING
    )
    failed = {"state": DeliveryState.FAILED, "next_attempt_at": None, "ended_at": utcnow()}
    db.session.execute(pending.values(failed))
