"""Deliveries: which event is sent when, and what follows from each attempt.

An endpoint has at most one active job. It sends whatever is due, one delivery at a time. Every
change of what is due, and the end of the job, locks the endpoint first: so no due delivery is left
without a job.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from sqlalchemy import ColumnElement, Select, exists, func, select, update
from sqlalchemy.orm import aliased, lazyload

from automart import background
from automart.background.service import ensure_due
from automart.core.db import db, utcnow
from automart.core.errors import Conflict
from automart.core.logging import current_request_id
from automart.webhooks.models import (
    DeliveryAttempt,
    DeliveryState,
    WebhookDelivery,
    WebhookEndpoint,
)
from automart.webhooks.service import ACTOR, lock_endpoint, pause_endpoint

# The schedule of Standard Webhooks. Each pause is counted from the attempt before it.
PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
# Spreads the retries of deliveries that failed together.
JITTER = 0.1
LONGEST_PAUSE = timedelta(hours=24)
DISABLED_AFTER = timedelta(days=5)
# With these, `Retry-After` is about all requests; with any other status, about this one.
_THROTTLED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

_PENDING = WebhookDelivery.state == DeliveryState.PENDING


@dataclass(frozen=True, slots=True)
class Event:
    """An event to deliver. `subject` names what it is about, such as `purchase:7`."""

    type: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an attempt that began `at`: a response with a status, or an error.

    `url` is where the request went, None if none was sent. `is_our_fault` is set when the receiver
    had no part in the failure.
    """

    at: datetime
    url: str | None = None
    status: int | None = None
    response: str | None = None
    answered_at: datetime | None = None
    retry_after: float | None = None
    error: str | None = None
    is_our_fault: bool = False

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def retry_not_before(self) -> datetime:
        """The time until which the receiver asks us to wait, 24 hours at most."""
        pause = min(timedelta(seconds=self.retry_after or 0), LONGEST_PAUSE)
        return (self.answered_at or self.at) + pause


def enqueue_delivery(endpoint: WebhookEndpoint, event: Event) -> None:
    """Add the delivery of an event to a locked endpoint, and see to the job that sends it.

    Does nothing for an endpoint without a URL. If the endpoint is disabled, the delivery is stored
    as failed, so that it can be redelivered later.
    """
    if endpoint.url is None:
        return
    now = utcnow()
    delivery = WebhookDelivery(
        endpoint_id=endpoint.id,
        type=event.type,
        subject=event.subject,
        body=event.body,
        request_id=current_request_id(),
        created_at=now,
    )
    if not endpoint.enabled:
        delivery.update({"state": DeliveryState.FAILED, "ended_at": now})
    elif not _has_pending(endpoint, event.subject):
        delivery.next_attempt_at = now
        ensure_job(endpoint.id)
    db.session.add(delivery)


def ensure_job(endpoint_id: int, due_at: datetime | None = None) -> background.SubmittedJob:
    """Return the active job of a locked endpoint, due at `due_at` (now) at the latest."""
    return ensure_due(
        background.kinds.WEBHOOK_DELIVERY,
        singleton=f"webhooks:{endpoint_id}",
        due_at=due_at,
        owner=ACTOR,
        endpoint_id=endpoint_id,
    )


def next_due(endpoint_id: int) -> WebhookDelivery | None:
    """Return the delivery that has been due for the longest time."""
    delivery: WebhookDelivery | None = db.session.scalar(
        select(WebhookDelivery)
        .where(
            WebhookDelivery.endpoint_id == endpoint_id,
            _PENDING,
            WebhookDelivery.next_attempt_at <= utcnow(),
        )
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(1)
        .options(lazyload(WebhookDelivery.attempts))
        .execution_options(populate_existing=True)
    )
    return delivery


def next_attempt_at(endpoint_id: int) -> datetime | None:
    """Return when the next attempt is due; None if nothing is pending."""
    return db.session.scalar(
        select(func.min(WebhookDelivery.next_attempt_at)).where(
            WebhookDelivery.endpoint_id == endpoint_id, _PENDING
        )
    )


def record_attempt(endpoint: WebhookEndpoint, delivery_id: int, outcome: Outcome) -> None:
    """Store an attempt to a locked endpoint. End the delivery, or schedule a retry."""
    db.session.add(
        DeliveryAttempt(
            delivery_id=delivery_id,
            at=outcome.at,
            status=outcome.status,
            response=outcome.response,
            error=outcome.error,
        )
    )
    delivery = db.session.get_one(
        WebhookDelivery,
        delivery_id,
        populate_existing=True,
        options=[lazyload(WebhookDelivery.attempts)],
    )
    if outcome.is_success:
        endpoint.failing_since = None
        _end(delivery, DeliveryState.SUCCEEDED)
    elif outcome.url in (None, endpoint.url):
        _record_failure(endpoint, delivery, outcome)
    # Otherwise the URL was changed during the attempt. The response of the old URL does not count
    # against the new one, to which the delivery, still due, is sent next.


def redeliver(endpoint_id: int, chosen: Select[WebhookDelivery]) -> background.SubmittedJob:
    """Restart those of the chosen deliveries that go to this endpoint. Return the job that sends.

    The first pending delivery of each subject is due at once, and the others after it.
    Raises `Conflict` if the endpoint is disabled or has no URL.
    """
    endpoint = lock_endpoint(endpoint_id)
    if not endpoint.is_active:
        why = "has no URL" if endpoint.url is None else "is disabled"
        raise Conflict(f"The webhook of regional office {endpoint.regional_office_id} {why}.")
    to_endpoint = WebhookDelivery.endpoint_id == endpoint.id
    ids = chosen.where(to_endpoint).with_only_columns(WebhookDelivery.id).order_by(None).subquery()
    restarted = {
        "state": DeliveryState.PENDING,
        "tries": 0,
        "next_attempt_at": None,
        "ended_at": None,
    }
    _update(WebhookDelivery.id.in_(select(ids.c.id)), restarted)
    _hold_back(to_endpoint)
    release_next(to_endpoint)
    db.session.expire_all()
    return ensure_job(endpoint.id)


def schedule_retry(delivery: WebhookDelivery, outcome: Outcome) -> None:
    """Set the time of the next attempt after a failed one, or fail after the last."""
    delivery.tries += 1
    if delivery.tries > len(PAUSES):
        _end(delivery, DeliveryState.FAILED)
        return
    # Null if an earlier event of this subject was redelivered during the attempt.
    if delivery.next_attempt_at is not None:
        jitter = 1 + random.random() * JITTER  # noqa: S311 - no secret
        planned = outcome.at + PAUSES[delivery.tries - 1] * jitter
        delivery.next_attempt_at = max(planned, outcome.retry_not_before)


def release_next(which: ColumnElement[bool]) -> None:
    """Make the first pending delivery of each subject due, unless it has a time already."""
    is_waiting = WebhookDelivery.next_attempt_at.is_(None)
    _update(which & _PENDING & is_waiting & ~_follows_pending(), {"next_attempt_at": utcnow()})


def _record_failure(endpoint: WebhookEndpoint, delivery: WebhookDelivery, outcome: Outcome) -> None:
    if not outcome.is_our_fault:
        endpoint.failing_since = endpoint.failing_since or outcome.at
        if outcome.status == HTTPStatus.GONE:
            pause_endpoint(endpoint, "it answered 410 Gone")
            return
        if outcome.at - endpoint.failing_since >= DISABLED_AFTER:
            pause_endpoint(endpoint, "all attempts of five days failed")
            return
    if delivery.state is DeliveryState.PENDING:
        schedule_retry(delivery, outcome)
        if outcome.retry_after and outcome.status in _THROTTLED:
            _postpone(endpoint, outcome.retry_not_before)


def _postpone(endpoint: WebhookEndpoint, until: datetime) -> None:
    """Put off what is due earlier. Each of these attempts would fail as well."""
    is_earlier = WebhookDelivery.next_attempt_at < until
    which = (WebhookDelivery.endpoint_id == endpoint.id) & _PENDING & is_earlier
    _update(which, {"next_attempt_at": until})


def _end(delivery: WebhookDelivery, state: DeliveryState) -> None:
    delivery.update({"state": state, "next_attempt_at": None, "ended_at": utcnow()})
    db.session.flush()
    release_next(
        (WebhookDelivery.endpoint_id == delivery.endpoint_id)
        & (WebhookDelivery.subject == delivery.subject)
    )


def _hold_back(which: ColumnElement[bool]) -> None:
    """Make pending deliveries wait for earlier ones of their subjects."""
    _update(which & _PENDING & _follows_pending(), {"next_attempt_at": None})


def _has_pending(endpoint: WebhookEndpoint, subject: str) -> bool:
    pending = exists().where(
        WebhookDelivery.endpoint_id == endpoint.id, WebhookDelivery.subject == subject, _PENDING
    )
    return bool(db.session.scalar(select(pending)))


def _follows_pending() -> ColumnElement[bool]:
    """Whether an earlier delivery of the same subject to the same endpoint is pending."""
    earlier = aliased(WebhookDelivery)
    return exists().where(
        earlier.endpoint_id == WebhookDelivery.endpoint_id,
        earlier.subject == WebhookDelivery.subject,
        earlier.state == DeliveryState.PENDING,
        earlier.id < WebhookDelivery.id,
    )


def _update(which: ColumnElement[bool], values: dict[str, object]) -> None:
    statement = update(WebhookDelivery).where(which).values(values)
    db.session.execute(statement.execution_options(synchronize_session=False))
