"""Sales are written, and offices are told of the states of their purchases."""

from __future__ import annotations

import time
from datetime import datetime

import structlog
from flask import current_app
from rq.timeouts import JobTimeoutException
from sqlalchemy.exc import DBAPIError, IntegrityError

from automart.config import Settings
from automart.db import end_read, transaction, utcnow
from automart.errors import Conflict
from automart.purchases import deliveries, service
from automart.purchases.deliveries import Outcome
from automart.purchases.models import LONGEST_ERROR, WebhookDelivery
from automart.purchases.schemas import PurchaseSchema
from jobs.http import client
from jobs.running import Run, Stopping
from jobs.webhooks import WebhookRequest, request_for

log = structlog.get_logger(__name__)

# An office holds a worker for no longer than both together; then others have their turn.
TURN_SECONDS = 5.0
ANSWER_WITHIN_SECONDS = 10.0


def purchase_recording(
    run: Run, regional_office_id: int, external_order_number: str, make_id: int, car_model: str
) -> None:
    """Write a reported sale as a purchase, once however often it is reported."""
    try:
        with transaction():
            purchase = service.record_sale(
                regional_office_id, external_order_number, make_id, car_model
            )
            run.claim.succeed(PurchaseSchema().dump(purchase))
    except IntegrityError:
        raise Conflict("The office or the make was deleted before the sale was written.") from None


def webhook_delivery(run: Run, regional_office_id: int) -> None:
    """Deliver what is due to an office, one after the other, for as long as its turn is.

    Safe to run again at any point: what was sent and not written down is sent again, under the same
    `webhook-id`.
    """
    turn_ends = time.monotonic() + TURN_SECONDS
    while True:
        delivery = deliveries.next_due(regional_office_id)
        if delivery is None:
            end_read()
            if _finish(run, regional_office_id):
                return
        elif run.stopping.is_set() or time.monotonic() > turn_ends:
            raise Stopping
        else:
            _deliver(run, delivery)


def _finish(run: Run, office_id: int) -> bool:
    """End the job, unless something has become due meanwhile. What is due later gets a job then."""
    with transaction():
        deliveries.lock_office(office_id)
        due_at = deliveries.next_attempt_at(office_id)
        if due_at is not None and due_at <= utcnow():
            return False
        run.claim.succeed({"regional_office_id": office_id})
        if due_at is not None:
            deliveries.submit_for_later(office_id, due_at)
    return True


def _deliver(run: Run, delivery: WebhookDelivery) -> None:
    office_id, delivery_id = delivery.regional_office_id, delivery.id
    outcome = _try(delivery)
    with transaction():
        # The office first, then the job: so does whoever has something new to deliver.
        office = deliveries.lock_office(office_id)
        run.claim.advance()
        deliveries.record(office, delivery_id, outcome)
    log.info(
        "webhook_sent",
        webhook_id=delivery.webhook_id,
        regional_office_id=office_id,
        status=outcome.status,
        error=outcome.error,
    )


def _try(delivery: WebhookDelivery) -> Outcome:
    """Send a delivery. What is wrong with it must not keep the office's others from their turn."""
    at = utcnow()
    try:
        request = request_for(delivery, at)
        end_read()
        return _post(request, at)
    except (DBAPIError, JobTimeoutException):
        raise
    except Exception:
        log.exception("webhook_not_sent", webhook_id=delivery.webhook_id)
        return Outcome(at, error="This is our fault. It has been logged.")


def _post(request: WebhookRequest, at: datetime) -> Outcome:
    settings: Settings = current_app.extensions["settings"]
    if request.url is None:
        return Outcome(at, error="The office has no webhook URL any more.")
    if not request.is_signed:
        return Outcome(at, error="There is no secret to sign with.")
    try:
        response = client.post(
            request.url,
            body=request.body,
            headers=request.headers,
            allow_private=settings.webhook_allow_private,
            timeout=ANSWER_WITHIN_SECONDS,
        )
    except client.NotDelivered as error:
        return Outcome(at, request.url, error=str(error)[:LONGEST_ERROR])
    return Outcome(at, request.url, response.status, response.text, response.retry_after)
