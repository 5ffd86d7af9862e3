"""What the database and Redis know, as metrics. Read when Prometheus asks, by indexed queries.

All web processes tell the same: take `max`, not `sum`, over several.
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
from automart.background.models import Job, JobState, Lease
from automart.catalogue.models import OutcomeState, SyncOutcome
from automart.core.db import db, utcnow
from automart.webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

HOUSEKEEPING = "housekeeping"
RECENT = timedelta(hours=1)
ENDED = tuple(state for state in JobState if state.has_ended)

Gauges = Iterator[GaugeMetricFamily]


def jobs() -> Gauges:
    """Queued and running jobs by kind, and the queues that they wait in."""
    now = utcnow()
    is_due = Job.due_at <= now
    queued = (
        select(Job.kind, func.count(), func.sum(case((is_due, 1), else_=0)), func.min(Job.due_at))
        .where(Job.state == JobState.QUEUED)
        .group_by(Job.kind)
    )
    running = select(Job.kind, func.count()).where(Job.state == JobState.RUNNING).group_by(Job.kind)
    found = db.session.execute(queued).all()
    now_jobs = GaugeMetricFamily(
        "automart_jobs", "Jobs that are queued or running.", labels=("kind", "state")
    )
    counts = {(kind, state): 0 for kind in KINDS for state in ("queued", "running")}
    counts |= {(kind, "queued"): count for kind, count, _due, _oldest in found}
    counts |= {(kind, "running"): count for kind, count in db.session.execute(running)}
    for labels, count in counts.items():
        now_jobs.add_metric(labels, count)
    yield now_jobs
    yield from _queues(now, {kind: (due, oldest) for kind, _count, due, oldest in found})


def _queues(now: datetime, by_kind: dict[str, tuple[int, datetime]]) -> Gauges:
    length = GaugeMetricFamily(
        "automart_queue_due_jobs", "Jobs that wait and could start now.", labels=("queue",)
    )
    age = GaugeMetricFamily(
        "automart_queue_oldest_due_job_seconds",
        "For how long the job that waits longest could have started.",
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
    """Jobs that ended within the last hour, by kind and state."""
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
    """How the last vehicle sync ended, and what became of its makes."""
    last = (
        select(Job.id, Job.state, Job.finished_at)
        .where(Job.kind == VEHICLE_SYNC.name, Job.state.in_(ENDED))
        .order_by(Job.id.desc())
        .limit(1)
    )
    row = db.session.execute(last).one_or_none()
    if row is None or row.finished_at is None:
        return
    job_id, state, finished_at = row.id, row.state, row.finished_at
    yield GaugeMetricFamily(
        "automart_last_sync_timestamp_seconds", "When it ended.", finished_at.timestamp()
    )
    yield GaugeMetricFamily(
        "automart_last_sync_succeeded",
        "1 if it succeeded; some makes may still have failed.",
        int(state is JobState.SUCCEEDED),
    )
    makes = GaugeMetricFamily("automart_last_sync_makes", "Its makes.", labels=("outcome",))
    for outcome, count in _outcomes(job_id).items():
        makes.add_metric((outcome,), count)
    yield makes


@lru_cache(maxsize=4)
def _outcomes(job_id: uuid.UUID) -> dict[str, int]:
    """They change no more once the sync has ended, and may be thousands of rows."""
    states = (
        select(SyncOutcome.state, func.count())
        .where(SyncOutcome.job_id == job_id)
        .group_by(SyncOutcome.state)
    )
    found = {str(state): count for state, count in db.session.execute(states)}
    return {str(state): found.get(state, 0) for state in OutcomeState}


def webhooks() -> Gauges:
    """Deliveries that are on their way, those that ended within the last hour, failing offices."""
    is_retried = WebhookDelivery.tries > 0
    on_their_way = select(
        func.count(),
        func.sum(case((is_retried, 1), else_=0)),
        func.min(WebhookDelivery.created_at),
    ).where(WebhookDelivery.state == DeliveryState.PENDING)
    count, retried, oldest = db.session.execute(on_their_way).one()
    backlog = GaugeMetricFamily(
        "automart_webhook_backlog",
        "Deliveries on their way: new, and failed at least once.",
        labels=("tried",),
    )
    backlog.add_metric(("no",), count - (retried or 0))
    backlog.add_metric(("yes",), retried or 0)
    yield backlog
    yield GaugeMetricFamily(
        "automart_webhook_oldest_delivery_seconds",
        "For how long the oldest delivery has been on its way.",
        (utcnow() - oldest).total_seconds() if oldest else 0,
    )
    yield from _ended_deliveries()
    failing = select(func.count()).where(WebhookEndpoint.failing_since.is_not(None))
    yield GaugeMetricFamily(
        "automart_webhook_failing_offices",
        "Offices whose webhooks do nothing but fail at present.",
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
    """Who works: housekeeping by its lease, RQ's workers by their heartbeat in Redis."""
    held = select(Lease.until).where(Lease.name == HOUSEKEEPING)
    until = db.session.scalar(held)
    yield GaugeMetricFamily(
        "automart_housekeeping_up",
        "1 while some worker keeps house.",
        int(until is not None and until > utcnow()),
    )
    try:
        counts = {queue: living_workers(queue) for queue in Queue}
    except redis.RedisError:
        yield GaugeMetricFamily("automart_redis_up", "1 if Redis answers.", 0)
        return
    yield GaugeMetricFamily("automart_redis_up", "1 if Redis answers.", 1)
    family = GaugeMetricFamily("automart_workers", "Workers of each queue.", labels=("queue",))
    for queue, count in counts.items():
        family.add_metric((queue,), count)
    yield family


def living_workers(queue: Queue) -> int:
    """How many workers serve `queue`. Raises `redis.RedisError`."""
    client: redis.Redis = current_app.extensions["redis"]
    keys = Worker.all_keys(queue=RqQueue(queue, connection=client))
    # Those that were killed are still listed, but their own keys have expired.
    return int(client.exists(*keys)) if keys else 0


PARTS: tuple[Callable[[], Gauges], ...] = (jobs, ended_jobs, last_sync, webhooks, workers)
"""A domain that has something to tell adds a function here."""
