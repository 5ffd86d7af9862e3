"""Webhooks in the form of Standard Webhooks: what is sent, and what it is signed with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from standardwebhooks import Webhook

from automart.api.fields import rfc3339
from automart.db import db
from automart.purchases import signing
from automart.purchases.models import (
    Purchase,
    PurchaseChange,
    RegionalOffice,
    WebhookDelivery,
)
from automart.purchases.schemas import STATE_CHANGED


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """What is posted to an office, and where. `url` is None if the office has none any more."""

    url: str | None
    body: bytes
    headers: dict[str, str]

    @property
    def is_signed(self) -> bool:
        return self.headers["webhook-signature"] != ""


def request_for(delivery: WebhookDelivery, now: datetime) -> WebhookRequest:
    """What a delivery sends when it is tried `now`; but for time and signatures always the same."""
    office_id = delivery.regional_office_id
    office = db.session.get_one(RegionalOffice, office_id, populate_existing=True)
    body = _body(delivery)
    signatures = sign(delivery.webhook_id, now, body, signing.good_secrets(office_id))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery.webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures,
    }
    if delivery.request_id is not None:
        headers["X-Request-ID"] = delivery.request_id
    return WebhookRequest(office.webhook_url, body, headers)


def sign(webhook_id: str, now: datetime, body: bytes, signing_secrets: Sequence[str]) -> str:
    """A signature by each secret, as the header has them: the receiver needs to know one."""
    return " ".join(
        Webhook(secret).sign(webhook_id, now, body.decode()) for secret in signing_secrets
    )


def _body(delivery: WebhookDelivery) -> bytes:
    told = (
        select(PurchaseChange, Purchase.external_order_number)
        .join(Purchase, Purchase.id == PurchaseChange.purchase_id)
        .where(PurchaseChange.id == delivery.change_id)
    )
    change, order_number = db.session.execute(told).one()
    event = {
        "type": STATE_CHANGED,
        "timestamp": rfc3339(change.at),
        "data": {
            "purchase_id": change.purchase_id,
            "external_order_number": order_number,
            "previous_state": change.previous_state,
            "state": change.state,
        },
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
