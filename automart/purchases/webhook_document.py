"""The webhook that offices get, as `/openapi.json` describes it. In words: docs/webhooks.md."""

from __future__ import annotations

from typing import Any

from automart.purchases.schemas import StateChangedEvent


def _header(name: str, description: str, *, required: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "schema": {"type": "string"},
        "description": description,
    }


STATE_CHANGED_POST = {
    "operationId": "purchase_state_changed",
    "tags": ["webhooks"],
    "summary": "A purchase came into another state.",
    "description": (
        "Posted to the office's `webhook_url`, in the form of Standard Webhooks: at least once, and"
        " the changes of one purchase in their order. `webhook-signature` is to be verified."
    ),
    "security": [],
    "parameters": [
        _header("webhook-id", "The same over all tries of this webhook."),
        _header("webhook-timestamp", "When this try was made, in Unix seconds."),
        _header(
            "webhook-signature",
            "`v1,` and the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}` in base64; one"
            " for each secret that is good, with a space between them.",
        ),
        _header("X-Request-ID", "The id of the request that changed the state.", required=False),
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": StateChangedEvent}},
    },
    "responses": {
        "2XX": {"description": "It was taken."},
        "410": {"description": "The office wants no more: its webhook is disabled."},
        "429": {"description": "As with 503, a `Retry-After` holds for all that is due."},
        "default": {"description": "It is tried again, ten times in three days."},
    },
}
