"""Metrics, of one process and of several."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue, Worker
from sqlalchemy import QueuePool, create_engine
from sqlalchemy.exc import OperationalError

from automart.accounts.models import Client, User
from automart.background import Job, JobState
from automart.background.maintenance import hold_lease
from automart.core.config import Settings
from automart.core.db import db, transaction, utcnow
from automart.core.metrics import CONNECTIONS, free_slot, measure_connections
from automart.notices.models import Notice, NoticeState
from automart.purchases.models import PurchaseState
from automart.webhooks.models import DeliveryState, WebhookDelivery
from sandbox import Fault
from tests.support import people
from tests.support.databases import on_sqlite
from tests.support.limits import LIMIT
from tests.support.processes import until
from tests.support.purchases import make_office, make_purchase
from tests.support.setup import application
from tests.support.sync import add_models, catalogue_of
from tests.support.web import gunicorn_running

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: FlaskClient) -> Samples:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.mimetype == "text/plain"
    return parsed(response.get_data(as_text=True))


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def not_zero(samples: Samples, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric that are not 0, by the values of its labels."""
    return {
        tuple(value for _, value in sorted(labels)): number
        for (of, labels), number in samples.items()
        if of == name and number != 0
    }


KINDS = (
    *("vehicle_sync", "purchase_recording", "csv_import"),
    *("vin_decoding", "webhook_delivery", "notice_delivery"),
)
QUEUES = ("short", "long", "interactive", "webhooks")
# The metrics of the database and of Redis: what they mean, and their labels.
STATE: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "automart_jobs": (
        "Jobs that are queued or running.",
        {"kind": KINDS, "state": ("queued", "running")},
    ),
    "automart_queue_due_jobs": ("Jobs that are due and wait for a worker.", {"queue": QUEUES}),
    "automart_queue_oldest_due_job_seconds": (
        "How long the oldest due job has waited.",
        {"queue": QUEUES},
    ),
    "automart_jobs_ended_last_hour": (
        "Jobs that ended within the last hour.",
        {"kind": KINDS, "state": ("succeeded", "failed", "cancelled")},
    ),
    "automart_makes_held": ("Makes whose changes wait for approval.", {}),
    "automart_notices_refused": (
        "Notices to operators that failed at least once and are retried.",
        {},
    ),
    "automart_webhook_backlog": (
        "Pending deliveries: new ones, and those that failed at least once.",
        {"tried": ("no", "yes")},
    ),
    "automart_webhook_oldest_delivery_seconds": ("Age of the oldest pending delivery.", {}),
    "automart_webhook_deliveries_ended_last_hour": (
        "Deliveries that ended within the last hour.",
        {"state": ("succeeded", "failed")},
    ),
    "automart_webhook_failing_offices": ("Offices whose deliveries currently all fail.", {}),
    "automart_housekeeping_up": ("1 if a worker does the housekeeping.", {}),
    "automart_redis_up": ("1 if Redis accepts messages.", {}),
    "automart_workers": ("Workers of each queue.", {"queue": QUEUES}),
}
LAST_SYNC = {
    "automart_last_sync_timestamp_seconds": "When the last sync ended.",
    "automart_last_sync_succeeded": (
        "1 if the last sync succeeded. Some of its makes may have failed."
    ),
    "automart_last_sync_makes": "Its makes.",
}


def described(client: FlaskClient) -> dict[str, str]:
    families = text_string_to_metric_families(client.get("/metrics").get_data(as_text=True))
    return {family.name: family.documentation for family in families}


def add_job(**values: Any) -> None:
    defaults = {"kind": "vehicle_sync", "arguments": {}, "time_limit": 60}
    with transaction():
        db.session.add(Job(**defaults | values))


class TestRequests:
    def test_requests_are_counted_by_route_and_status_and_not_by_path(
        self, as_admin: FlaskClient
    ) -> None:
        before = scrape(as_admin)
        for path in ("/v1/makes/1", "/v1/makes/2", "/api/v1/makes/3", "/nowhere/1", "/nowhere/2"):
            as_admin.get(path)
        as_admin.open("/v1/makes/1", method="BREW")
        after = scrape(as_admin)

        def grown(name: str, **labels: str) -> float:
            return value(after, name, **labels) - value(before, name, **labels)

        route = "/v1/makes/<id:make_id>"
        counter = "automart_http_requests_total"
        assert grown(counter, method="GET", route=route, status="404") == 3
        assert grown(counter, method="GET", route="none", status="404") == 2
        assert grown(counter, method="other", route="none", status="405") == 1
        duration = "automart_http_request_duration_seconds"
        assert grown(f"{duration}_count", method="GET", route=route) == 3
        assert grown(f"{duration}_bucket", method="GET", route=route, le="+Inf") == 3
        assert grown(f"{duration}_sum", method="GET", route=route) > 0

    def test_openmetrics_is_supported(self, as_admin: FlaskClient) -> None:
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        response = as_admin.get("/metrics", headers=accept)
        assert response.mimetype == "application/openmetrics-text"
        assert response.data.endswith(b"# EOF\n")


class TestState:
    def test_without_data_all_metrics_are_there_and_0(self, as_admin: FlaskClient) -> None:
        expected = {
            (name, frozenset(zip(labels, values, strict=True))): 0.0
            for name, (_meaning, labels) in STATE.items()
            for values in product(*labels.values())
        }
        expected["automart_redis_up", frozenset()] = 1.0
        expected["automart_info", frozenset({("version", version("automart"))})] = 1.0
        samples = scrape(as_admin)
        of_processes = ("automart_http_", "automart_database_")
        assert expected == {
            key: number for key, number in samples.items() if not key[0].startswith(of_processes)
        }

    def test_each_metric_says_what_it_means(self, as_admin: FlaskClient) -> None:
        add_job(state=JobState.SUCCEEDED, finished_at=utcnow())
        meanings = {name: meaning for name, (meaning, _labels) in STATE.items()} | LAST_SYNC
        assert described(as_admin).items() >= meanings.items()

    def test_jobs_and_queues_are_counted(self, as_admin: FlaskClient) -> None:
        now = utcnow()
        add_job(due_at=now - timedelta(minutes=10))
        add_job(due_at=now - timedelta(minutes=1))
        add_job(due_at=now + timedelta(minutes=10))
        ended = now - timedelta(minutes=1)
        add_job(state=JobState.FAILED, finished_at=ended)
        add_job(state=JobState.SUCCEEDED, finished_at=ended)
        add_job(state=JobState.FAILED, finished_at=now - timedelta(hours=2))
        for _ in range(2):
            add_job(kind="csv_import", state=JobState.RUNNING, claim=uuid4())
            add_job(kind="csv_import", state=JobState.FAILED, finished_at=ended)
        add_job(kind="webhook_delivery", due_at=now - timedelta(minutes=30))
        samples = scrape(as_admin)
        assert not_zero(samples, "automart_jobs") == {
            ("vehicle_sync", "queued"): 3,
            ("csv_import", "running"): 2,
            ("webhook_delivery", "queued"): 1,
        }
        assert not_zero(samples, "automart_jobs_ended_last_hour") == {
            ("vehicle_sync", "failed"): 1,
            ("vehicle_sync", "succeeded"): 1,
            ("csv_import", "failed"): 2,
        }
        assert not_zero(samples, "automart_queue_due_jobs") == {("long",): 2, ("webhooks",): 1}
        waited = not_zero(samples, "automart_queue_oldest_due_job_seconds")
        assert waited.keys() == {("long",), ("webhooks",)}
        assert 600 <= waited["long",] < 660
        assert 1800 <= waited["webhooks",] < 1860

    def test_the_last_sync_is_shown(
        self, as_admin: FlaskClient, run_jobs: Callable[[], None], vpic: Any
    ) -> None:
        assert not [name for name, _ in scrape(as_admin) if name.startswith("automart_last_sync")]
        add_models({474: {}, 999_999: {1: "Unknown to NHTSA"}})
        assert as_admin.post("/v1/vehicle-syncs").status_code == 202
        run_jobs()
        samples = scrape(as_admin)
        assert value(samples, "automart_last_sync_succeeded") == 1
        assert value(samples, "automart_last_sync_timestamp_seconds") > 1e9
        assert not_zero(samples, "automart_last_sync_makes") == {("updated",): 1, ("held",): 1}

    def test_a_make_is_held_until_a_sync_of_this_make_no_longer_holds_it(
        self, as_admin: FlaskClient, run_jobs: Callable[[], None], vpic: Any
    ) -> None:
        held, other = {n: f"Model {n}" for n in range(1, 10)}, {100: "Civic"}
        add_models({1: held, 2: other})

        def held_after(
            served: dict[int, dict[int, str]], fault: Fault | None = None, **order: Any
        ) -> float:
            vpic.serve(catalogue_of(served))
            vpic.behave()
            if fault:
                vpic.order(fault)
            assert as_admin.post("/v1/vehicle-syncs", json=order).status_code == 202
            run_jobs()
            return value(scrape(as_admin), "automart_makes_held")

        assert held_after({1: {}, 2: other}) == 1
        assert held_after({1: {}, 2: other}, make_ids=[2]) == 1
        assert held_after({1: {}, 2: other}, Fault.WRONG_SHAPE, make_ids=[1]) == 1
        assert held_after({1: held, 2: other}, make_ids=[1]) == 0
        assert held_after({1: {1: "Model 1"}, 2: {}}) == 2
        assert held_after({1: {1: "Model 1"}, 2: {}}, make_ids=[1], approve_deletions=True) == 1
        assert as_admin.delete("/v1/makes/2").status_code == 204
        assert value(scrape(as_admin), "automart_makes_held") == 0

    def test_a_cancelled_sync_is_not_a_failed_one(self, as_admin: FlaskClient) -> None:
        ended = utcnow() - timedelta(minutes=5)
        add_job(state=JobState.SUCCEEDED, finished_at=ended)
        add_job(state=JobState.CANCELLED, finished_at=utcnow())
        # Neither are jobs of other kinds, dry runs, and syncs that have not ended.
        add_job(kind="csv_import", state=JobState.FAILED, finished_at=utcnow())
        dry_run = {"dry_run": True}
        add_job(arguments=dry_run, state=JobState.FAILED, finished_at=utcnow())
        add_job()
        samples = scrape(as_admin)
        assert value(samples, "automart_last_sync_succeeded") == 1
        assert value(samples, "automart_last_sync_timestamp_seconds") == ended.timestamp()
        add_job(arguments={"dry_run": False}, state=JobState.FAILED, finished_at=utcnow())
        failed = scrape(as_admin)
        assert not_zero(failed, "automart_last_sync_succeeded") == {}
        assert value(failed, "automart_last_sync_timestamp_seconds") > ended.timestamp()

    def test_notices_that_no_service_accepted_yet_are_counted(self, as_admin: FlaskClient) -> None:
        ended = {"next_attempt_at": None, "ended_at": utcnow()}
        with transaction():
            notices = [
                Notice(subject=f"Subject {tries}", title="A title", body="A body", tries=tries)
                for tries in range(5)
            ]
            db.session.add_all(notices)
            db.session.flush()
            notices[3].update({"state": NoticeState.FAILED} | ended)
            notices[4].update({"state": NoticeState.SENT} | ended)
        assert value(scrape(as_admin), "automart_notices_refused") == 2

    def test_webhook_deliveries_are_counted(self, as_admin: FlaskClient) -> None:
        samples = scrape(as_admin)
        assert value(samples, "automart_webhook_backlog", tried="no") == 0
        assert value(samples, "automart_webhook_oldest_delivery_seconds") == 0
        office = make_office(webhook_url="https://office.example/")
        with transaction():
            db.session.merge(office).endpoint.failing_since = utcnow()
        other = make_office(webhook_url="https://other.example/")
        for _ in range(4):
            make_purchase(office, state=PurchaseState.MANUFACTURING)
        for _ in range(2):
            make_purchase(other, state=PurchaseState.MANUFACTURING)
        new, tried, ended, old, *delivered = db.session.query(WebhookDelivery)
        now = utcnow()
        with transaction():
            tried.update({"tries": 2, "created_at": now - timedelta(minutes=10)})
            ended.update({"state": DeliveryState.FAILED, "ended_at": now, "next_attempt_at": None})
            long_ago = now - timedelta(hours=2)
            gone = {"state": DeliveryState.FAILED, "ended_at": long_ago, "next_attempt_at": None}
            old.update(gone)
            for each in delivered:
                succeeded = {"state": DeliveryState.SUCCEEDED, "next_attempt_at": None}
                each.update(succeeded | {"tries": 1, "ended_at": now})
        samples = scrape(as_admin)
        assert value(samples, "automart_webhook_backlog", tried="no") == 1
        assert value(samples, "automart_webhook_backlog", tried="yes") == 1
        assert 600 <= value(samples, "automart_webhook_oldest_delivery_seconds") < 660
        assert not_zero(samples, "automart_webhook_deliveries_ended_last_hour") == {
            ("failed",): 1,
            ("succeeded",): 2,
        }
        assert value(samples, "automart_webhook_failing_offices") == 1
        assert new.tries == 0

    def test_workers_are_counted(self, app: Flask, as_admin: FlaskClient) -> None:
        samples = scrape(as_admin)
        assert value(samples, "automart_workers", queue="long") == 0
        assert value(samples, "automart_housekeeping_up") == 0
        client = app.extensions["redis"]
        worker = Worker([Queue("long", connection=client)], connection=client)
        worker.register_birth()
        hold_lease("another", uuid4(), timedelta(seconds=15))
        assert value(scrape(as_admin), "automart_housekeeping_up") == 0
        hold_lease("housekeeping", uuid4(), timedelta(seconds=15))
        samples = scrape(as_admin)
        assert not_zero(samples, "automart_workers") == {("long",): 1}
        assert value(samples, "automart_housekeeping_up") == 1
        assert value(samples, "automart_redis_up") == 1
        client.delete(worker.key)  # it expires after a worker was killed
        assert value(scrape(as_admin), "automart_workers", queue="long") == 0

    def test_metrics_are_available_without_redis(self, settings: Settings) -> None:
        nowhere = replace(settings, redis_url="unix:///nowhere/redis.sock")
        with application(nowhere) as app, app.app_context():
            admin = people.signed_in(app, people.make_user(is_admin=True))
            samples, meanings = scrape(admin), described(admin)
        assert samples["automart_redis_up", frozenset()] == 0
        assert meanings["automart_redis_up"] == "1 if Redis accepts messages."
        assert "automart_workers" not in meanings
        assert (
            "automart_jobs",
            frozenset({("kind", "vehicle_sync"), ("state", "queued")}),
        ) in samples

    def test_a_scrape_needs_few_queries(
        self, as_admin: FlaskClient, count_queries: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        for _ in range(20):
            add_job(state=JobState.SUCCEEDED, finished_at=utcnow())
        scrape(as_admin)
        with count_queries() as queries:
            scrape(as_admin)
        selects = [text for text in queries.statements if text.startswith("SELECT")]
        assert len(selects) <= 11


def test_a_service_client_needs_the_scope(
    make_client: Callable[..., Client], signed_in: Callable[[User | Client], FlaskClient]
) -> None:
    assert signed_in(make_client("metrics")).get("/metrics").status_code == 200


def test_slots_of_ended_processes_are_reused() -> None:
    assert [free_slot(taken) for taken in (set(), {0}, {1, 2}, {0, 2}, {0, 1, 2})] == [
        *(0, 1, 0, 1, 3)
    ]


def open_connections(master: psutil.Process, settings: Settings) -> int:
    """Return how often the processes of gunicorn have the SQLite database open."""
    path = str(Path(settings.database_url.removeprefix("sqlite:///")).resolve())
    files = [file.path for process in master.children() for file in process.open_files()]
    return files.count(path)


@pytest.mark.processes
@on_sqlite
def test_the_counts_of_all_processes_are_added_also_of_ended_ones(
    settings: Settings, app: Flask
) -> None:
    token = people.token_of(app, people.make_user(is_admin=True))
    headers = {"Authorization": f"Bearer {token}"}
    with gunicorn_running(settings, "--threads", "2") as gunicorn:
        master = gunicorn.master

        def fetched(path: str) -> str:
            return requests.get(gunicorn.url + path, headers=headers, timeout=LIMIT).text

        def total(name: str, **labels: str) -> float:
            return value(parsed(fetched("/metrics")), name, **labels)

        def answered() -> float:
            labels = {"method": "GET", "route": "/health/live", "status": "200"}
            return total("automart_http_requests_total", **labels)

        def counts_what_is_open() -> bool:
            counted = total("automart_database_connections", state="open")
            return counted == open_connections(master, settings) > 0

        before = answered()
        for _ in range(30):
            fetched("/health/live")
        assert answered() - before == 30
        until(counts_what_is_open)
        for worker in master.children():
            os.kill(worker.pid, signal.SIGKILL)
        until(lambda: len(master.children()) == 2)
        for _ in range(10):
            fetched("/health/live")
        assert answered() - before == 40
        # None of those that were killed.
        until(counts_what_is_open)
        # Not that of the scrape itself. Those of the scrapes before go back after their response.
        until(lambda: total("automart_database_connections", state="in_use") == 0)
        files = list(Path(tempfile.gettempdir()).glob(f"automart-metrics-{master.pid}-*/counter_*"))
        assert len(files) <= 2
    assert not list(Path(tempfile.gettempdir()).glob(f"automart-metrics-{master.pid}-*"))


def test_a_lost_database_does_not_change_the_connections_in_use() -> None:
    def connect() -> sqlite3.Connection:
        if gone:
            raise sqlite3.OperationalError("gone")
        return sqlite3.connect(":memory:")

    def in_use() -> float:
        return CONNECTIONS.labels("in_use")._value.get()

    gone = False
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    measure_connections(engine)
    before = in_use()
    with engine.connect() as connection:
        assert in_use() == before + 1
        connection.invalidate()
    gone = True
    for _ in range(3):
        with pytest.raises(OperationalError):
            engine.connect()
    assert in_use() == before
