"""How the OpenAPI document describes webhooks and their URLs, and why a URL is refused."""

from __future__ import annotations

import pytest

from automart.purchases.schemas import StateChangedEvent
from automart.webhooks.openapi import webhook_operation
from automart.webhooks.schemas import WebhookUrl
from tests.support.databases import on_sqlite
from tests.support.fields import refusal

pytestmark = on_sqlite


def test_a_webhook_describes_what_is_sent_and_what_a_response_means() -> None:
    operation = webhook_operation(
        "orderRead", summary="Order read", description="An order was read.", event=StateChangedEvent
    )
    parameters = operation.pop("parameters")
    assert operation == {
        "operationId": "orderRead",
        "tags": ["events"],
        "summary": "Order read",
        "description": "An order was read.",
        "security": [],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": StateChangedEvent}},
        },
        "responses": {
            "2XX": {"description": "The event was received."},
            "410": {"description": "The receiver wants no more events: its webhook is disabled."},
            "429": {
                "description": (
                    "As with 503, `Retry-After` postpones all deliveries to this receiver."
                )
            },
            "default": {"description": "The delivery is retried, up to ten attempts in all."},
        },
    }
    descriptions = {
        "webhook-id": "Identifies the event. All attempts have the same id.",
        "webhook-timestamp": "The time of this attempt in Unix seconds.",
        "webhook-signature": (
            "`v1,` and the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}` in base64; one"
            " signature for each valid secret, separated by spaces."
        ),
        "X-Request-ID": "The id of the request that caused the event.",
    }
    assert parameters == [
        {
            "name": name,
            "in": "header",
            "required": name != "X-Request-ID",
            "schema": {"type": "string"},
            "description": description,
        }
        for name, description in descriptions.items()
    ]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://office.example/", "Must be an http or https URL."),
        ("https:///path", "Must be an http or https URL."),
        ("https://office.example:0/", "Must be an http or https URL."),
        ("https://office.example/a b", "Must be an http or https URL."),
        ("https://me:secret@office.example/", "Must have no user information."),
        ("https://office.example/#top", "Must have no fragment."),
        ("ftp://me@office.example/#top", "Must be an http or https URL."),
        (None, "Field may not be null."),
    ],
)
def test_a_refusal_says_what_is_wrong_with_a_url(url: str | None, reason: str) -> None:
    assert refusal(WebhookUrl(), url) == reason


def test_a_url_is_described_and_may_be_optional() -> None:
    url = WebhookUrl(allow_none=True, metadata={"description": "Where events go."})
    assert url.metadata == {
        "format": "uri",
        "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[!$-.0-;=A-\[\]_a-z~]+([/?][!$-;=?-\[\]-~]*)?$",
        "description": "Where events go.",
    }
    assert url.deserialize(None) is None
    assert url.deserialize("https://office.example:1/") == "https://office.example:1/"
