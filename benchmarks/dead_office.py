"""How soon an office is notified while another has 0, and then 10,000, undelivered events.

`python -m benchmarks dead_office [EVENTS]`: a real worker delivers to offices in a thread of
this process. The events of the dead office are always due, and its webhook responds with 500.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from automart.core.db import db, transaction, utcnow
from automart.partners.models import RegionalOffice
from automart.purchases.events import state_changed
from automart.purchases.models import Purchase, PurchaseChange, PurchaseState
from automart.webhooks.deliveries import Event, ensure_job
from automart.webhooks.models import WebhookDelivery
from automart.webhooks.service import lock_endpoint
from benchmarks.support import databases, partners_app
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from tests.support.processes import until, worker_running
from tests.support.purchases import (
    HONDA,
    ensure_catalogue,
    make_purchase,
    make_signing_office,
    move,
)

EVENTS = 10_000
CHANGES = 50


def main(events: str = str(EVENTS)) -> None:
    """Measure on both databases and print a table."""
    table = Table(
        "database", "undelivered to the dead office", "ms until the other is notified", "the worst"
    )
    with databases() as found:
        for name, url in found:
            for count, seconds in measure(url, int(events)):
                times = f"{median(seconds) * 1000:.0f}", f"{max(seconds) * 1000:.0f}"
                table.add_row(name, f"{count:,}", *times)
    Console().print(table)


def measure(database_url: str, events: int) -> Iterator[tuple[int, list[float]]]:
    """Yield the seconds from each change to its receipt, without and with `events` undelivered."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _app, settings, _redis = stack.enter_context(partners_app(database_url, folder))
        offices = stack.enter_context(Offices())
        ensure_catalogue()
        lively, _ = make_signing_office(webhook_url=offices.url("lively"))
        dead, _ = make_signing_office(webhook_url=offices.url("dead"))
        offices.order(OfficeFault.STATUS, office="dead", status=500)
        stack.enter_context(worker_running(settings))
        notify(lively, offices)  # warms up
        yield 0, [notify(lively, offices) for _ in range(CHANGES)]
        add_undelivered(dead, events)
        until(lambda: offices.received("dead"))
        yield events, [notify(lively, offices) for _ in range(CHANGES)]


def notify(office: RegionalOffice, offices: Offices) -> float:
    """Change a purchase. Return the seconds until the lively office has received the webhook."""
    purchase = make_purchase(office)
    before = len(offices.received("lively"))
    began = time.time()
    move(purchase, PurchaseState.CANCELLED)
    until(lambda: len(offices.received("lively")) > before)
    return offices.received("lively")[-1].at - began


def add_undelivered(office: RegionalOffice, count: int) -> None:
    """Add cancelled purchases whose webhooks have not been delivered, in bulk."""
    now = utcnow()
    numbers = range(1_000_000, 1_000_000 + count)
    common = {"make_id": HONDA, "car_model": "Civic", "created_at": now, "updated_at": now}
    purchases = [
        {"id": n, "regional_office_id": office.id, "external_order_number": str(n), **common}
        for n in numbers
    ]
    undelivered = [
        {
            "endpoint_id": office.endpoint.id,
            "type": event.type,
            "subject": event.subject,
            "body": event.body,
            "next_attempt_at": now,
            "created_at": now,
        }
        for event in map(_cancelled, purchases)
    ]
    with transaction():
        db.session.execute(insert(Purchase), purchases)
        db.session.execute(insert(WebhookDelivery), undelivered)
        lock_endpoint(office.endpoint.id)
        ensure_job(office.endpoint.id)


def _cancelled(values: Mapping[str, Any]) -> Event:
    """Return the event of the cancellation of a purchase with these columns."""
    change = PurchaseChange(
        previous_state=PurchaseState.ORDERED,
        state=PurchaseState.CANCELLED,
        at=values["created_at"],
    )
    return state_changed(Purchase(**values), change)
