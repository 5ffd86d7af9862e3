"""What the fake offices can be asked and told by another process.

With URL=http://127.0.0.1:8002 and an office that is called berlin:

    curl -d '{"office": "berlin", "secrets": ["whsec_…"]}' $URL/_sandbox/secrets
                                                      by which it verifies, instead of any before
    curl $URL/_sandbox/secrets                        how many each office knows
    curl $URL/offices/berlin/webhooks                 what it got
    curl $URL/_sandbox/webhooks                       what all got; ?office=berlin for one alone,
                                                      ?count=1 for the number only
    curl -X DELETE $URL/_sandbox/webhooks             begin anew; ?office=berlin for one alone
    curl -d '{"fault": "status", "status": 410, "office": "berlin", "times": 2}' \
        $URL/_sandbox/orders                          misbehave: sandbox/office_faults.py says how
    curl $URL/_sandbox/orders                         the orders in force
    curl -X DELETE $URL/_sandbox/orders               forget them; ?office=berlin for one alone

A person looks at $URL/ and $URL/offices/berlin.
"""

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from sandbox.control import Control, Query, as_json, done, order_actions
from sandbox.office_faults import OfficeOrder
from sandbox.server import Reply

if TYPE_CHECKING:
    from sandbox.office import Offices, Received


def control(offices: "Offices") -> Control:
    """The control interface of the offices."""

    def list_webhooks(query: Query, _body: bytes) -> Reply:
        received = offices.received(_office(query))
        if "count" in query:
            return as_json(200, {"count": len(received)})
        webhooks = [_as_json(one) for one in received]
        return as_json(200, {"count": len(webhooks), "webhooks": webhooks})

    def forget_webhooks(query: Query, _body: bytes) -> Reply:
        offices.forget(_office(query))
        return done()

    def list_secrets(_query: Query, _body: bytes) -> Reply:
        return as_json(200, {"secrets": offices.secret_counts})

    def trust(_query: Query, body: bytes) -> Reply:
        office, secrets = _secrets(json.loads(body))
        offices.trust(office, *secrets)
        return done()

    return Control(
        {
            "webhooks": {"GET": list_webhooks, "DELETE": forget_webhooks},
            "secrets": {"GET": list_secrets, "POST": trust},
            "orders": order_actions(offices.orders, OfficeOrder, _office),
        }
    )


def _office(query: Query) -> str | None:
    return query["office"][0] if "office" in query else None


def _secrets(content: object) -> tuple[str, list[str]]:
    match content:
        case {"office": str(office), "secrets": list(secrets), **more} if not more:
            if all(isinstance(secret, str) for secret in secrets):
                return office, secrets
    raise ValueError('what is told looks like {"office": "berlin", "secrets": ["whsec_…"]}')


def _as_json(one: "Received") -> dict[str, Any]:
    return {
        "office": one.office,
        "at": dt.datetime.fromtimestamp(one.at, dt.UTC).isoformat(timespec="milliseconds"),
        "webhook_id": one.webhook_id,
        "webhook_timestamp": one.headers.get("webhook-timestamp"),
        "verified": one.verified,
        "reason": one.reason,
        "status": one.status,
        "headers": one.headers,
        "body": one.body.decode("utf-8", "replace"),
    }
