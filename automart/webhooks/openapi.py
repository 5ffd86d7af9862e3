"""How `/openapi.json` describes the webhooks that we send. docs/webhooks.md explains them."""

from __future__ import annotations

from typing import Any

from automart.web import Schema


def _header(name: str, description: str, *, required: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "schema": {"type": "string"},
        "description": description,
    }


def webhook_operation(
    operation_id: str, *, summary: str, description: str, event: type[Schema]
) -> dict[str, Any]:
    """Return the OpenAPI operation of a webhook whose body is an `event`."""
    return {
        "operationId": operation_id,
        "tags": ["events"],
        "summary": summary,
        "description": description,
        "security": [],
        "parameters": [
            _header("webhook-id", "Identifies the event. All attempts have the same id."),
            _header("webhook-timestamp", "The time of this attempt in Unix seconds."),
            _header(
                "webhook-signature",
                "`v1,` and the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}` in base64;"
                " one signature for each valid secret, separated by spaces.",
            ),
            _header("X-Request-ID", "The id of the request that caused the event.", required=False),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": event}},
        },
        "responses": {
            "2XX": {"description": "The event was received."},
            "410": {"description": "The receiver wants no more events: its webhook is disabled."},
            "429": {
                "description": "As with 503, `Retry-After` postpones all deliveries to this"
                " receiver."
            },
            "default": {"description": "The delivery is retried, up to ten attempts in all."},
        },
    }
