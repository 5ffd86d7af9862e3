"""Metrics from the database and Redis, read by indexed queries at each scrape.

All web processes report the same values: take their `max`, not their `sum`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache

import redis
from flask import current_app
from prometheus_client.core import GaugeMetricFamily
from rq import Queue as RqQueue
from rq import Worker
from sqlalchemy import case, func, select

from automart.background.kinds import KINDS, VEHICLE_SYNC, Queue
from automart.background.maintenance import HOUSEKEEPING
from automart.background.models import Job, JobState, LeaderLease
from automart.background.queues import check_writable
from automart.catalogue.models import OutcomeState, SyncOutcome, VehicleMake
from automart.core.db import db, utcnow
from automart.notices.models import Notice, NoticeState
from automart.webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

RECENT = timedelta(hours=1)
ENDED = tuple(state for state in JobState if state.has_ended)
# A sync that somebody cancelled says nothing about NHTSA.
COMPLETED = (JobState.SUCCEEDED, JobState.FAILED)
# A dry run leaves the catalogue as old as it is.
WRITES = Job.arguments["dry_run"].as_boolean().is_not(True)

Gauges = Iterator[GaugeMetricFamily]


def jobs() -> Gauges:
    """Yield queued and running jobs by kind, and the lengths of the queues."""
    now = utcnow()
    is_due = Job.due_at <= now
    queued = (
        select(Job.kind, func.count(), func.sum(case((is_due, 1), else_=0)), func.min(Job.due_at))
        .where(Job.state == JobState.QUEUED)
        .group_by(Job.kind)
    )
    running = select(Job.kind, func.count()).where(Job.state == JobState.RUNNING).group_by(Job.kind)
    found = db.session.execute(queued).all()
    active = GaugeMetricFamily(
        "automart_jobs", "Jobs that are queued or running.", labels=("kind", "state")
    )
    counts = {(kind, state): 0 for kind in KINDS for state in ("queued", "running")}
    counts |= {(kind, "queued"): count for kind, count, _due, _oldest in found}
    counts |= {(kind, "running"): count for kind, count in db.session.execute(running)}
    for labels, count in counts.items():
        active.add_metric(labels, count)
    yield active
    yield from _queues(now, {kind: (due, oldest) for kind, _count, due, oldest in found})


def _queues(now: datetime, by_kind: dict[str, tuple[int, datetime]]) -> Gauges:
    length = GaugeMetricFamily(
        "automart_queue_due_jobs", "Jobs that are due and wait for a worker.", labels=("queue",)
    )
    age = GaugeMetricFamily(
        "automart_queue_oldest_due_job_seconds",
        "How long the oldest due job has waited.",
        labels=("queue",),
    )
    for queue in Queue:
        kinds = [k.name for k in KINDS.values() if k.queue is queue and k.name in by_kind]
        ages = [(now - by_kind[kind][1]).total_seconds() for kind in kinds]
        length.add_metric((queue,), sum(by_kind[kind][0] for kind in kinds))
        age.add_metric((queue,), max(0.0, 0.0, *ages))
    yield length
    yield age


def ended_jobs() -> Gauges:
    """Yield the jobs that ended within the last hour, by kind and state."""
    recent = (
        select(Job.kind, Job.state, func.count())
        .where(Job.finished_at >= utcnow() - RECENT)
        .group_by(Job.kind, Job.state)
    )
    counts = {(kind, str(state)): 0 for kind in KINDS for state in ENDED}
    counts |= {(kind, str(state)): count for kind, state, count in db.session.execute(recent)}
    family = GaugeMetricFamily(
        "automart_jobs_ended_last_hour",
        "Jobs that ended within the last hour.",
        labels=("kind", "state"),
    )
    for labels, count in counts.items():
        family.add_metric(labels, count)
    yield family


def last_sync() -> Gauges:
    """Yield the result of the last vehicle sync, and the outcomes of its makes."""
    last = (
        select(Job.id, Job.state, Job.finished_at)
        .where(Job.kind == VEHICLE_SYNC.name, Job.state.in_(COMPLETED), WRITES)
        .order_by(Job.id.desc())
        .limit(1)
    )
    row = db.session.execute(last).one_or_none()
    if row is None or row.finished_at is None:
        return
    job_id, state, finished_at = row.id, row.state, row.finished_at
    yield GaugeMetricFamily(
        "automart_last_sync_timestamp_seconds", "When the last sync ended.", finished_at.timestamp()
    )
    yield GaugeMetricFamily(
        "automart_last_sync_succeeded",
        "1 if the last sync succeeded. Some of its makes may have failed.",
        int(state is JobState.SUCCEEDED),
    )
    makes = GaugeMetricFamily("automart_last_sync_makes", "Its makes.", labels=("outcome",))
    for outcome, count in _outcomes(job_id).items():
        makes.add_metric((outcome,), count)
    yield makes


def held_makes() -> Gauges:
    """Yield the number of makes that wait for approval, whichever sync held them."""
    held = select(func.count()).where(VehicleMake.held_since.is_not(None))
    yield GaugeMetricFamily(
        "automart_makes_held",
        "Makes whose changes wait for approval.",
        db.session.scalar(held) or 0,
    )


@lru_cache(maxsize=4)
def _outcomes(job_id: uuid.UUID) -> dict[str, int]:
    """Return the outcomes of an ended sync. They are cached: there may be thousands of rows, which
    no longer change."""
    states = (
        select(SyncOutcome.state, func.count())
        .where(SyncOutcome.job_id == job_id)
        .group_by(SyncOutcome.state)
    )
    found = {str(state): count for state, count in db.session.execute(states)}
    return {str(state): found.get(state, 0) for state in OutcomeState}


def notices() -> Gauges:
    """Yield the number of notices that a service of NOTIFY_URLS has not accepted yet."""
    refused = select(func.count()).where(Notice.state == NoticeState.PENDING, Notice.tries > 0)
    yield GaugeMetricFamily(
        "automart_notices_refused",
        "Notices to operators that failed at least once and are retried.",
        db.session.scalar(refused) or 0,
    )


def webhooks() -> Gauges:
    """Yield pending deliveries, those that ended within the last hour, and failing offices."""
    is_retried = WebhookDelivery.tries > 0
    pending = select(
        func.count(),
        func.sum(case((is_retried, 1), else_=0)),
        func.min(WebhookDelivery.created_at),
    ).where(WebhookDelivery.state == DeliveryState.PENDING)
    count, retried, oldest = db.session.execute(pending).one()
    backlog = GaugeMetricFamily(
        "automart_webhook_backlog",
        "Pending deliveries: new ones, and those that failed at least once.",
        labels=("tried",),
    )
    backlog.add_metric(("no",), count - (retried or 0))
    backlog.add_metric(("yes",), retried or 0)
    yield backlog
    yield GaugeMetricFamily(
        "automart_webhook_oldest_delivery_seconds",
        "Age of the oldest pending delivery.",
        (utcnow() - oldest).total_seconds() if oldest else 0,
    )
    yield from _ended_deliveries()
    failing = select(func.count()).where(WebhookEndpoint.failing_since.is_not(None))
    yield GaugeMetricFamily(
        "automart_webhook_failing_offices",
        "Offices whose deliveries currently all fail.",
        db.session.scalar(failing) or 0,
    )


def _ended_deliveries() -> Gauges:
    recent = (
        select(WebhookDelivery.state, func.count())
        .where(WebhookDelivery.ended_at >= utcnow() - RECENT)
        .group_by(WebhookDelivery.state)
    )
    counts = {"succeeded": 0, "failed": 0}
    counts |= {str(state): count for state, count in db.session.execute(recent)}
    family = GaugeMetricFamily(
        "automart_webhook_deliveries_ended_last_hour",
        "Deliveries that ended within the last hour.",
        labels=("state",),
    )
    for state, count in counts.items():
        family.add_metric((state,), count)
    yield family


def workers() -> Gauges:
    """Yield housekeeping, which holds a lease, and RQ's workers, which send heartbeats to Redis."""
    held = select(LeaderLease.until).where(LeaderLease.name == HOUSEKEEPING)
    until = db.session.scalar(held)
    yield GaugeMetricFamily(
        "automart_housekeeping_up",
        "1 if a worker does the housekeeping.",
        int(until is not None and until > utcnow()),
    )
    try:
        check_writable(current_app.extensions["redis"])
        counts = {queue: living_workers(queue) for queue in Queue}
    except redis.RedisError:
        yield GaugeMetricFamily("automart_redis_up", "1 if Redis accepts messages.", 0)
        return
    yield GaugeMetricFamily("automart_redis_up", "1 if Redis accepts messages.", 1)
    family = GaugeMetricFamily("automart_workers", "Workers of each queue.", labels=("queue",))
    for queue, count in counts.items():
        family.add_metric((queue,), count)
    yield family


def living_workers(queue: Queue) -> int:
    """Return the number of workers that serve `queue`. Raises `redis.RedisError`."""
    client: redis.Redis = current_app.extensions["redis"]
    keys = Worker.all_keys(queue=RqQueue(queue, connection=client))
    # Workers that were killed are still listed, but their own keys have expired.
    return int(client.exists(*keys)) if keys else 0


COLLECTORS: tuple[Callable[[], Gauges], ...] = (
    *(jobs, ended_jobs, last_sync, held_makes, notices, webhooks, workers),
)
"""The collectors of all domains."""
