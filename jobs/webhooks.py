"""The job that delivers webhooks in the form of Standard Webhooks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

import structlog
from rq.timeouts import JobTimeoutException
from sqlalchemy.exc import DBAPIError

from automart.core.config import current_settings
from automart.core.db import db, release_connection, transaction, utcnow
from automart.webhooks import deliveries
from automart.webhooks.deliveries import Outcome
from automart.webhooks.models import LONGEST_ERROR, WebhookDelivery, WebhookEndpoint
from automart.webhooks.service import lock_endpoint
from automart.webhooks.signing import sign, valid_secrets
from jobs.context import Requeue, Run
from jobs.http import client

log = structlog.get_logger(__name__)

# Together they bound how long an endpoint occupies a worker.
TIME_SLICE_SECONDS = 5.0
RESPONSE_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A request for one attempt. `url` is None if the endpoint has lost its URL."""

    url: str | None
    body: bytes
    headers: dict[str, str]

    @property
    def is_signed(self) -> bool:
        return self.headers["webhook-signature"] != ""


def webhook_delivery(run: Run, endpoint_id: int) -> None:
    """Deliver what is due to an endpoint, one delivery after the other, for a slice of time.

    Safe to run again at any point: what was sent but not recorded is sent again under the same
    `webhook-id`.
    """
    slice_ends = time.monotonic() + TIME_SLICE_SECONDS
    while True:
        delivery = deliveries.next_due(endpoint_id)
        if delivery is None:
            release_connection()
            if _finish(run, endpoint_id):
                return
            continue
        run.check_stop()
        if time.monotonic() > slice_ends:
            raise Requeue("The time slice is over.")
        # The job has the id of the request that submitted it, and sends the events of others too.
        with structlog.contextvars.bound_contextvars(request_id=delivery.request_id):
            _deliver(run, delivery)


def build_request(delivery: WebhookDelivery, at: datetime) -> WebhookRequest:
    """Return the request of an attempt. Only timestamp and signatures differ between attempts."""
    endpoint = db.session.get_one(WebhookEndpoint, delivery.endpoint_id, populate_existing=True)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery.webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": sign(
            delivery.webhook_id, at, delivery.body, valid_secrets(endpoint.id)
        ),
    }
    if delivery.request_id is not None:
        headers["X-Request-ID"] = delivery.request_id
    return WebhookRequest(endpoint.url, delivery.body.encode(), headers)


def _finish(run: Run, endpoint_id: int) -> bool:
    """End the job, unless a delivery has become due. Submit the job of the next attempt."""
    with transaction():
        endpoint = lock_endpoint(endpoint_id)
        due_at = deliveries.next_attempt_at(endpoint_id)
        if due_at is not None and due_at <= utcnow():
            return False
        run.lease.succeed({"regional_office_id": endpoint.regional_office_id})
        if due_at is not None:
            deliveries.ensure_job(endpoint_id, due_at)
    return True


def _deliver(run: Run, delivery: WebhookDelivery) -> None:
    endpoint_id, delivery_id = delivery.endpoint_id, delivery.id
    outcome = _attempt(delivery)
    with transaction():
        # The endpoint is locked before the job, as by everything that enqueues a delivery.
        endpoint = lock_endpoint(endpoint_id)
        run.lease.advance()
        deliveries.record_attempt(endpoint, delivery_id, outcome)
    log.info(
        "webhook_sent",
        webhook_id=delivery.webhook_id,
        endpoint=endpoint.owner,
        status=outcome.status,
        error=outcome.error,
    )


def _attempt(delivery: WebhookDelivery) -> Outcome:
    """Send a delivery. An unexpected error fails this attempt, and not the endpoint's job."""
    at = utcnow()
    try:
        request = build_request(delivery, at)
        release_connection()
        return _send(request, at)
    except (DBAPIError, JobTimeoutException):
        raise
    except Exception:
        log.exception("webhook_not_sent", webhook_id=delivery.webhook_id)
        return Outcome(at, error="Internal error. It has been logged.", is_our_fault=True)


def _send(request: WebhookRequest, at: datetime) -> Outcome:
    settings = current_settings()
    if request.url is None:
        return Outcome(at, error="The webhook no longer has a URL.", is_our_fault=True)
    if not request.is_signed:
        return Outcome(at, error="There is no secret to sign with.", is_our_fault=True)
    try:
        response = client.post(
            request.url,
            body=request.body,
            headers=request.headers,
            allow_private=settings.webhook_allow_private,
            timeout=RESPONSE_TIMEOUT_SECONDS,
        )
    except client.NotDelivered as error:
        return Outcome(at, request.url, error=str(error)[:LONGEST_ERROR])
    return Outcome(
        at,
        request.url,
        status=response.status,
        response=response.text,
        answered_at=utcnow(),
        retry_after=response.retry_after,
    )
