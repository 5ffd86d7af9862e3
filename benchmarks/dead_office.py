"""Deliveries to one office while another has 0, and then 10,000, undelivered events.

`python -m benchmarks dead_office [EVENTS]`: the jobs run in this process, the offices in a thread
of it. The dead office's events are due all the time, and its webhook answers 500.
"""

from __future__ import annotations

import time
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from automart.background import Job
from automart.db import db, transaction, utcnow
from automart.purchases.models import (
    Purchase,
    PurchaseChange,
    PurchaseState,
    RegionalOffice,
    WebhookDelivery,
)
from benchmarks.support import databases, quiet_app
from jobs import runner
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from tests.support.purchases import (
    HONDA,
    all_jobs,
    ensure_catalogue,
    make_office,
    make_purchase,
    make_signing_office,
    move,
)

EVENTS = 10_000
DELIVERIES = 100


def main(events: str = str(EVENTS)) -> None:
    """Measure on both databases and print a table."""
    table = Table("database", "undelivered to the dead office", "ms for a delivery to the other")
    with databases() as found, Offices() as offices:
        for name, url in found:
            for count, seconds in measure(url, offices, int(events)):
                table.add_row(name, f"{count:,}", f"{seconds / DELIVERIES * 1000:.1f}")
    Console().print(table)


def measure(database_url: str, offices: Offices, events: int) -> list[tuple[int, float]]:
    with quiet_app(database_url, "http://127.0.0.1:9") as app:
        settings = app.extensions["settings"]
        app.extensions["settings"] = replace(settings, webhook_allow_private=True)
        ensure_catalogue()
        lively, _ = make_signing_office(webhook_url=offices.url("lively"))
        dead = make_office(webhook_url=offices.url("dead"))
        offices.order(OfficeFault.STATUS, office="dead", status=500)
        deliver(lively, 10)  # warms up
        alone = deliver(lively, DELIVERIES)
        add_undelivered(dead, events)
        return [(0, alone), (events, deliver(lively, DELIVERIES))]


def deliver(office: RegionalOffice, count: int) -> float:
    """The seconds that so many deliveries take, each with a job of its own."""
    seconds = 0.0
    for _ in range(count):
        move(make_purchase(office), PurchaseState.CANCELLED)
        job = all_jobs("webhook_delivery")[-1]
        began = time.perf_counter()
        runner.run(str(job.id))
        seconds += time.perf_counter() - began
    assert db.session.get_one(Job, job.id, populate_existing=True).state.has_ended
    return seconds


def add_undelivered(office: RegionalOffice, count: int) -> None:
    """Cancelled purchases of which the office was not told yet, written in bulk."""
    now = utcnow()
    numbers = range(1_000_000, 1_000_000 + count)
    common = {"make_id": HONDA, "car_model": "Civic", "created_at": now, "updated_at": now}
    purchases = [
        {"id": n, "regional_office_id": office.id, "external_order_number": str(n), **common}
        for n in numbers
    ]
    changes = [
        {"id": n, "purchase_id": n, "state": PurchaseState.CANCELLED, "at": now} for n in numbers
    ]
    deliveries = [
        {
            "regional_office_id": office.id,
            "purchase_id": n,
            "change_id": n,
            "next_attempt_at": now,
            "created_at": now,
        }
        for n in numbers
    ]
    with transaction():
        for model, rows in (
            (Purchase, purchases),
            (PurchaseChange, changes),
            (WebhookDelivery, deliveries),
        ):
            db.session.execute(insert(model), rows)
