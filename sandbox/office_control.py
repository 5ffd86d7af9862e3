"""The HTTP interface by which another process controls the fake offices.

With URL=http://127.0.0.1:8002 and an office named berlin:

    curl -d '{"office": "berlin", "secrets": ["whsec_…"]}' $URL/_sandbox/secrets
                                                      replace the secrets that verify its webhooks
    curl $URL/_sandbox/secrets                        the number of secrets of each office
    curl $URL/offices/berlin/webhooks                 the webhooks that it received
    curl $URL/_sandbox/webhooks                       those of all offices; ?office=berlin for one,
                                                      ?count=1 for the number only
    curl -X DELETE $URL/_sandbox/webhooks             delete them; ?office=berlin for one office
    curl -d '{"fault": "status", "status": 410, "office": "berlin", "times": 2}' \
        $URL/_sandbox/orders                          misbehave; see sandbox/office_faults.py
    curl $URL/_sandbox/orders                         the orders in force
    curl -X DELETE $URL/_sandbox/orders               cancel them; ?office=berlin for one office

In a browser, $URL/ and $URL/offices/berlin show the webhooks.
"""

import datetime as dt
import json
from typing import Any

from sandbox.control import Control, Query, as_json, no_content, order_actions
from sandbox.office_faults import OfficeOrder
from sandbox.office_inbox import Inbox, Received, Secrets
from sandbox.orders import OrderBook
from sandbox.server import Reply


def create_office_control(
    orders: OrderBook[OfficeOrder], inbox: Inbox, secrets: Secrets
) -> Control:
    """Return the control interface of the offices."""

    def list_webhooks(query: Query, _body: bytes) -> Reply:
        received = inbox.received(_office(query))
        if "count" in query:
            return as_json(200, {"count": len(received)})
        webhooks = [_as_json(webhook) for webhook in received]
        return as_json(200, {"count": len(webhooks), "webhooks": webhooks})

    def delete_webhooks(query: Query, _body: bytes) -> Reply:
        inbox.clear(_office(query))
        return no_content()

    def list_secrets(_query: Query, _body: bytes) -> Reply:
        return as_json(200, {"secrets": secrets.counts()})

    def replace_secrets(_query: Query, body: bytes) -> Reply:
        office, values = _office_and_secrets(json.loads(body))
        secrets.replace(office, *values)
        return no_content()

    return Control(
        {
            "webhooks": {"GET": list_webhooks, "DELETE": delete_webhooks},
            "secrets": {"GET": list_secrets, "POST": replace_secrets},
            "orders": order_actions(orders, OfficeOrder, _office),
        }
    )


def _office(query: Query) -> str | None:
    return query["office"][0] if "office" in query else None


def _office_and_secrets(content: object) -> tuple[str, list[str]]:
    match content:
        case {"office": str(office), "secrets": list(secrets), **more} if not more:
            if all(isinstance(secret, str) for secret in secrets):
                return office, secrets
    raise ValueError('the body must look like {"office": "berlin", "secrets": ["whsec_…"]}')


def _as_json(webhook: Received) -> dict[str, Any]:
    return {
        "office": webhook.office,
        "at": dt.datetime.fromtimestamp(webhook.at, dt.UTC).isoformat(timespec="milliseconds"),
        "webhook_id": webhook.webhook_id,
        "webhook_timestamp": webhook.headers.get("webhook-timestamp"),
        "verified": webhook.verified,
        "reason": webhook.reason,
        "status": webhook.status,
        "headers": webhook.headers,
        "body": webhook.body.decode("utf-8", "replace"),
    }
