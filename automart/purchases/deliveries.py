"""Deliveries: what an office is to be told, when it is tried next, and what came of it.

An office has at most one active job, which delivers whatever is due to it, one after the other.
Whoever adds work for the job, and the job before it ends, locks the office first: so no delivery is
left without a job.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Select, Update, exists, func, select, update
from sqlalchemy.orm import aliased, lazyload

from automart import background
from automart.accounts import audit
from automart.background.service import ensure_due
from automart.db import db, delete_in_parts, transaction, utcnow
from automart.errors import Conflict, NotFound
from automart.purchases.models import (
    DeliveryAttempt,
    DeliveryState,
    Purchase,
    PurchaseChange,
    RegionalOffice,
    WebhookDelivery,
)
from automart.telemetry import current_request_id

log = structlog.get_logger(__name__)

# Standard Webhooks' schedule: each pause is counted from the try before it.
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
# So that what failed together is not tried together again.
JITTER = 0.1
LONGEST_PAUSE = timedelta(hours=24)
DISABLED_AFTER = timedelta(days=5)
KEPT_FOR = timedelta(days=30)
OWNER = "webhooks"
# Said of all requests; another status is about the one that it answers.
_SENT_AWAY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

_PENDING = WebhookDelivery.state == DeliveryState.PENDING


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a try came to: an answer with its status, or an error without one.

    `url` is where it went to; None if it did not come so far.
    """

    at: datetime
    url: str | None = None
    status: int | None = None
    response: str | None = None
    retry_after: float | None = None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def pause_wished(self) -> timedelta:
        """How long the office wants to be left alone, as far as we heed it."""
        return min(timedelta(seconds=self.retry_after or 0), LONGEST_PAUSE)


def lock_office(office_id: int) -> RegionalOffice:
    """The office, freshly read and locked against other writers. Raises `NotFound`."""
    # FOR NO KEY UPDATE: purchases may go on referring to it.
    office: RegionalOffice | None = db.session.scalar(
        select(RegionalOffice)
        .where(RegionalOffice.id == office_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if office is None:
        raise NotFound(f"There is no regional office {office_id}.")
    return office


def announce(purchase: Purchase, change: PurchaseChange) -> None:
    """Have the office of a locked purchase told of a change, in the present transaction."""
    office = lock_office(purchase.regional_office_id)
    if office.webhook_url is None:
        return
    now = utcnow()
    delivery = WebhookDelivery(
        regional_office_id=office.id,
        purchase_id=purchase.id,
        change_id=change.id,
        request_id=current_request_id(),
        created_at=now,
    )
    if not office.webhook_enabled:
        # Kept as missed: it can be delivered once the webhook is enabled again.
        delivery.update({"state": DeliveryState.FAILED, "ended_at": now})
    elif not _is_held_up(purchase.id):
        delivery.next_attempt_at = now
        ensure_job(office.id)
    db.session.add(delivery)


def ensure_job(office_id: int) -> background.Job:
    """The job that delivers to a locked office, due now."""
    return ensure_due(
        background.Kind.WEBHOOK_DELIVERY,
        singleton=_singleton(office_id),
        owner=OWNER,
        regional_office_id=office_id,
    )


def next_due(office_id: int) -> WebhookDelivery | None:
    """What has waited longest of what is due to an office."""
    due = _of(office_id).where(WebhookDelivery.next_attempt_at <= utcnow())
    delivery: WebhookDelivery | None = db.session.scalar(
        due.order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(1)
        .options(lazyload(WebhookDelivery.attempts))
        .execution_options(populate_existing=True)
    )
    return delivery


def record(office: RegionalOffice, delivery_id: int, outcome: Outcome) -> None:
    """Write down a try of a delivery to a locked office, and what follows from it."""
    attempt = DeliveryAttempt(
        delivery_id=delivery_id,
        at=outcome.at,
        status=outcome.status,
        response=outcome.response,
        error=outcome.error,
    )
    db.session.add(attempt)
    delivery = db.session.get_one(
        WebhookDelivery,
        delivery_id,
        populate_existing=True,
        options=[lazyload(WebhookDelivery.attempts)],
    )
    if outcome.is_success:
        office.failing_since = None
        _end(delivery, DeliveryState.SUCCEEDED)
        return
    if outcome.url not in (None, office.webhook_url):
        # What an address says that is no longer the office's is not held against the new one,
        # where the delivery, still due, goes next.
        return
    office.failing_since = office.failing_since or outcome.at
    if outcome.status == HTTPStatus.GONE:
        disable(office, "it answered 410 Gone")
    elif outcome.at - office.failing_since >= DISABLED_AFTER:
        disable(office, "five days of nothing but failures")
    elif delivery.state is DeliveryState.PENDING:
        _try_later(delivery, outcome)
        if outcome.retry_after and outcome.status in _SENT_AWAY:
            _leave_alone(office, outcome)


def disable(office: RegionalOffice, reason: str | None = None) -> None:
    """Call the webhook of a locked office no more; what was on its way counts as failed.

    `reason` is for the log and the audit trail, if it was not an administrator who did it.
    """
    office.webhook_enabled = False
    _fail_pending(office)
    if reason is not None:
        log.warning("webhook_disabled", regional_office_id=office.id, reason=reason)
        subject = f"regional_office:{office.id}"
        audit.record(audit.Event.WEBHOOK_DISABLED, subject=subject, actor=OWNER, reason=reason)


def change_office(office: RegionalOffice, changes: Mapping[str, Any]) -> None:
    """Change a locked office, and do what follows for what is on its way to it."""
    before = office.webhook_url, office.webhook_enabled
    office.update(changes)
    if before != (office.webhook_url, office.webhook_enabled):
        office.failing_since = None
        if not office.can_be_told:
            _fail_pending(office)


def _fail_pending(office: RegionalOffice) -> None:
    """Give up what is on its way to a locked office. It can be delivered again later."""
    db.session.flush()
    pending = update(WebhookDelivery).where(
        WebhookDelivery.regional_office_id == office.id, _PENDING
    )
    failed = {"state": DeliveryState.FAILED, "next_attempt_at": None, "ended_at": utcnow()}
    db.session.execute(pending.values(failed))


def redeliver(office_id: int, deliveries: Select[WebhookDelivery]) -> background.Job:
    """Deliver to an office again, from the first try on, those of `deliveries` that are its own,
    in the present transaction. Answers the job that does it.

    Of one purchase's the oldest is due at once, and each of the others after the one before it,
    also those that were on their way.
    Raises `Conflict` if the office's webhook is disabled or has no URL.
    """
    office = lock_office(office_id)
    if not office.can_be_told:
        why = "has no URL" if office.webhook_url is None else "is disabled"
        raise Conflict(f"The webhook of the regional office {office.id} {why}.")
    mine = deliveries.where(WebhookDelivery.regional_office_id == office.id)
    chosen = mine.with_only_columns(WebhookDelivery.id).order_by(None).subquery()
    ids = select(chosen.c.id)
    again = {
        "state": DeliveryState.PENDING,
        "tries": 0,
        "next_attempt_at": None,
        "ended_at": None,
    }
    db.session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(ids))
        .values(again)
        .execution_options(synchronize_session=False)
    )
    its_own = WebhookDelivery.regional_office_id == office.id
    db.session.execute(_hold_up(its_own))
    db.session.execute(_release(its_own))
    db.session.expire_all()
    return ensure_job(office.id)


def next_attempt_at(office_id: int) -> datetime | None:
    """When there is something to do next for a locked office; None if nothing is pending."""
    return db.session.scalar(
        select(func.min(WebhookDelivery.next_attempt_at)).where(
            WebhookDelivery.regional_office_id == office_id, _PENDING
        )
    )


def submit_for_later(office_id: int, due_at: datetime) -> None:
    """Have a locked office, whose job has just ended, looked after again at `due_at`."""
    ensure_due(
        background.Kind.WEBHOOK_DELIVERY,
        singleton=_singleton(office_id),
        due_at=due_at,
        owner=OWNER,
        regional_office_id=office_id,
    )


def resume_forgotten() -> int:
    """Give a job to offices with overdue deliveries that have none: theirs was given up. How many.

    Opens a transaction for each.
    """
    overdue = (
        select(WebhookDelivery.regional_office_id)
        .distinct()
        .where(_PENDING, WebhookDelivery.next_attempt_at <= utcnow())
    )
    office_ids = db.session.scalars(overdue).all()
    for office_id in office_ids:
        with transaction():
            lock_office(office_id)
            ensure_job(office_id)
    return len(office_ids)


def forget_old_deliveries() -> int:
    """Delete deliveries that ended long ago. Answers how many."""
    return delete_in_parts(WebhookDelivery, WebhookDelivery.ended_at < utcnow() - KEPT_FOR)


def _singleton(office_id: int) -> str:
    return f"webhooks:{office_id}"


def _of(office_id: int) -> Select[WebhookDelivery]:
    return select(WebhookDelivery).where(WebhookDelivery.regional_office_id == office_id, _PENDING)


def _is_held_up(purchase_id: int) -> bool:
    """Whether an earlier change of the purchase is still on its way."""
    pending = exists().where(WebhookDelivery.purchase_id == purchase_id, _PENDING)
    return bool(db.session.scalar(select(pending)))


def _try_later(delivery: WebhookDelivery, outcome: Outcome) -> None:
    delivery.tries += 1
    if delivery.tries > len(PAUSES):
        _end(delivery, DeliveryState.FAILED)
        return
    pause = PAUSES[delivery.tries - 1]
    pause *= 1 + random.random() * JITTER  # noqa: S311 - no secret
    pause = max(pause, outcome.pause_wished)
    if delivery.next_attempt_at is not None:  # or else an earlier one was ordered again meanwhile
        delivery.next_attempt_at = outcome.at + pause


def _leave_alone(office: RegionalOffice, outcome: Outcome) -> None:
    """Put off what is due to an office that wants a pause: it would cost each of them a try."""
    until = outcome.at + outcome.pause_wished
    sooner = update(WebhookDelivery).where(
        WebhookDelivery.regional_office_id == office.id,
        _PENDING,
        WebhookDelivery.next_attempt_at < until,
    )
    put_off = sooner.values(next_attempt_at=until)
    db.session.execute(put_off.execution_options(synchronize_session=False))


def _end(delivery: WebhookDelivery, state: DeliveryState) -> None:
    delivery.update({"state": state, "next_attempt_at": None, "ended_at": utcnow()})
    db.session.flush()
    db.session.execute(_release(WebhookDelivery.purchase_id == delivery.purchase_id))


def _hold_up(which: ColumnElement[bool]) -> Update:
    """Have pending deliveries wait for the earlier ones of their purchases."""
    untimely = update(WebhookDelivery).where(
        which, _PENDING, WebhookDelivery.next_attempt_at.is_not(None), _is_behind_another()
    )
    return untimely.values(next_attempt_at=None).execution_options(synchronize_session=False)


def _release(which: ColumnElement[bool]) -> Update:
    """Make due the first of each purchase's pending deliveries, if it waits for nothing else."""
    waiting = update(WebhookDelivery).where(
        which, _PENDING, WebhookDelivery.next_attempt_at.is_(None), ~_is_behind_another()
    )
    return waiting.values(next_attempt_at=utcnow()).execution_options(synchronize_session=False)


def _is_behind_another() -> ColumnElement[bool]:
    """Whether an earlier delivery of the same purchase is pending."""
    earlier = aliased(WebhookDelivery)
    return exists().where(
        earlier.purchase_id == WebhookDelivery.purchase_id,
        earlier.state == DeliveryState.PENDING,
        earlier.id < WebhookDelivery.id,
    )
