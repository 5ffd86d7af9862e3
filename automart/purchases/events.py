"""The events of purchases that are sent to regional offices as webhooks."""

from __future__ import annotations

import json

from automart.purchases.models import Purchase, PurchaseChange
from automart.purchases.schemas import STATE_CHANGED, StateChangedEvent
from automart.web.fields import rfc3339
from automart.webhooks.deliveries import Event
from automart.webhooks.openapi import webhook_operation

STATE_CHANGED_OPERATION = webhook_operation(
    "purchaseStateChanged",
    summary="Purchase state changed",
    description=(
        "The state of a purchase has changed. Posted to the office's `webhook_url` in the form of"
        " Standard Webhooks: at least once, and"
        " for each purchase in the order of its changes. Receivers must verify `webhook-signature`."
    ),
    event=StateChangedEvent,
)


def state_changed(purchase: Purchase, change: PurchaseChange) -> Event:
    """Return the event of a stored change of state."""
    body = {
        "type": STATE_CHANGED,
        "timestamp": rfc3339(change.at),
        "data": {
            "purchase_id": purchase.id,
            "external_order_number": purchase.external_order_number,
            "previous_state": change.previous_state,
            "state": change.state,
        },
    }
    return Event(
        type=STATE_CHANGED,
        subject=f"purchase:{purchase.id}",
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
    )
