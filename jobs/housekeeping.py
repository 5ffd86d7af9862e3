"""What must happen by itself: forgotten jobs are dispatched, orphaned ones queued again, old rows
expire, the nightly sync starts. Any number may run, one works.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from flask import Flask
from sqlalchemy import exists, select
from sqlalchemy.exc import SQLAlchemyError

from automart import create_app
from automart.background import Job
from automart.background.kinds import VEHICLE_SYNC
from automart.background.maintenance import (
    dispatch_due,
    dispatch_lost,
    expire_jobs,
    hold_lease,
    requeue_orphans,
)
from automart.catalogue.service import SyncRunning, request_sync
from automart.core.config import Settings
from automart.core.db import db, transaction, utcnow
from automart.core.interrupts import Endings, Stop
from automart.customers import photos
from automart.oauth.maintenance import forget_old_accounts_data
from automart.web import expire_idempotency_keys
from automart.webhooks import maintenance as webhooks
from jobs.pulse import Pulse

log = structlog.get_logger(__name__)

ROUND_SECONDS = 0.5
LEASE = timedelta(seconds=15)
LEASE_RENEWED_EVERY = 5.0
CHORE_MAY_TAKE = 300.0
SCHEDULER = "schedule"
# A nightly sync that could not start in time (no worker ran) starts late, but not by day.
NIGHTLY_MAY_BE_LATE_BY = timedelta(hours=1)


@dataclass
class Chore:
    """Something to do every so many seconds."""

    every: float
    do: Callable[[], object]
    due: float = field(default=0.0)

    def do_if_due(self, now: float) -> None:
        if now >= self.due:
            self.due = now + self.every
            self.do()


def chores(settings: Settings) -> list[Chore]:
    """All chores, in the order in which they are done."""
    return [
        Chore(ROUND_SECONDS, dispatch_due),
        Chore(2, requeue_orphans),
        Chore(5, dispatch_lost),
        Chore(20, lambda: start_nightly_sync(settings, utcnow())),
        Chore(3600, expire_jobs),
        Chore(3600, expire_idempotency_keys),
        Chore(3600, forget_old_accounts_data),
        Chore(30, photos.delete_loose),
        Chore(10, webhooks.resume_stalled_endpoints),
        Chore(3600, webhooks.expire_deliveries),
        Chore(3600, webhooks.expire_secrets),
    ]


def start_nightly_sync(settings: Settings, now: datetime) -> None:
    """Submit the sync of `VEHICLE_SYNC_AT` if it is time, and this night's is still to come."""
    if settings.vehicle_sync_at is None:
        return
    due = datetime.combine(now.date(), settings.vehicle_sync_at, tzinfo=now.tzinfo)
    if now < due:
        due -= timedelta(days=1)  # that of last night may be late, and past midnight
    if now > due + NIGHTLY_MAY_BE_LATE_BY:
        return
    nightly = exists().where(
        Job.kind == VEHICLE_SYNC.name, Job.owner == SCHEDULER, Job.created_at >= due
    )
    with transaction():
        if db.session.scalar(select(nightly)):
            return
        try:
            job = request_sync(None, approve_deletions=False, owner=SCHEDULER)
        except SyncRunning:
            return  # it starts when that one has ended
        if job.owner == SCHEDULER:  # and not an equal one, for which it waits too
            log.info("nightly_sync_submitted", job_id=str(job.id))


def keep(app: Flask, stop: Stop, pulse: Pulse) -> None:
    """Do the chores, while no other process does, until `stop` is set."""
    settings: Settings = app.extensions["settings"]
    todo = chores(settings)
    me = uuid.uuid4()
    held_until = 0.0
    while not stop.wait(ROUND_SECONDS):
        now = time.monotonic()
        pulse.beat()
        try:
            with app.app_context():
                if now >= held_until:
                    if not hold_lease("housekeeping", me, LEASE):
                        stop.wait(LEASE_RENEWED_EVERY)
                        continue
                    held_until = now + LEASE_RENEWED_EVERY
                for chore in todo:
                    pulse.beat(CHORE_MAY_TAKE)
                    chore.do_if_due(now)
        except SQLAlchemyError as error:
            log.warning("housekeeping_without_database", error=str(error))


def main(pulse: Pulse) -> None:
    """Keep house until a signal ends it."""
    with Endings() as stop:
        keep(create_app(), stop, pulse)
