"""Housekeeping: dispatches lost jobs, requeues orphans, deletes expired rows, starts nightly syncs.

Any number of processes may run it. The one that holds the lease works.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from flask import Flask
from sqlalchemy import exists, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from automart import create_app
from automart.accounts import maintenance as accounts
from automart.background import Job
from automart.background.kinds import VEHICLE_SYNC
from automart.background.maintenance import (
    HOUSEKEEPING,
    delete_inputs,
    dispatch_due,
    dispatch_lost,
    expire_jobs,
    hold_lease,
    requeue_orphans,
)
from automart.catalogue.maintenance import publish_changes
from automart.catalogue.service import (
    NIGHTLY_SYNC_TOLERANCE,
    SCHEDULER,
    SyncRunning,
    last_night,
    start_sync,
)
from automart.core.config import Settings
from automart.core.db import db, transaction, utcnow
from automart.core.interrupts import Endings, Stop
from automart.core.outages import database_outage
from automart.customers.maintenance import delete_orphaned_photos
from automart.notices import maintenance as notices
from automart.oauth import maintenance as oauth
from automart.vins.maintenance import expire_vin_decodings
from automart.web import expire_idempotency_keys
from automart.webhooks import maintenance as webhooks
from jobs.pulse import Pulse

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 0.5
LEASE_DURATION = timedelta(seconds=15)
RENEWAL_SECONDS = 5.0
TASK_TIMEOUT_SECONDS = 300.0


@dataclass
class Task:
    """A function that is called every `interval` seconds."""

    interval: float
    function: Callable[[], object]
    due: float = field(default=0.0)

    def run_if_due(self, now: float) -> None:
        if now >= self.due:
            self.due = now + self.interval
            self.function()


def all_tasks(settings: Settings) -> list[Task]:
    """Return all tasks in their order of execution."""
    return [
        Task(INTERVAL_SECONDS, dispatch_due),
        Task(1, publish_changes),
        Task(2, requeue_orphans),
        Task(5, dispatch_lost),
        Task(20, lambda: start_nightly_sync(settings, utcnow())),
        Task(10, delete_inputs),
        Task(3600, expire_jobs),
        Task(3600, expire_idempotency_keys),
        Task(3600, oauth.expire_authorization_codes),
        Task(3600, oauth.expire_signing_keys),
        Task(3600, accounts.expire_logins),
        Task(3600, accounts.expire_login_throttles),
        Task(3600, accounts.expire_audit_events),
        Task(30, delete_orphaned_photos),
        Task(3600, expire_vin_decodings),
        Task(10, webhooks.resume_stalled_endpoints),
        Task(3600, webhooks.expire_deliveries),
        Task(3600, webhooks.expire_secrets),
        Task(10, notices.record_notices),
        Task(30, notices.resume_notices),
        Task(3600, notices.expire_notices),
    ]


def start_nightly_sync(settings: Settings, now: datetime) -> None:
    """Submit the sync of `VEHICLE_SYNC_AT` if it is due and was not submitted this night."""
    if settings.vehicle_sync_at is None:
        return
    # It may be yesterday's, which is late, and it is past midnight now.
    due = last_night(settings.vehicle_sync_at, now)
    if now > due + NIGHTLY_SYNC_TOLERANCE:
        return
    nightly = exists().where(
        Job.kind == VEHICLE_SYNC.name, Job.owner == SCHEDULER, Job.created_at >= due
    )
    with transaction():
        if db.session.scalar(select(nightly)):
            return
        try:
            job = start_sync(None, approve_deletions=False, owner=SCHEDULER)
        except SyncRunning:
            return  # the next round tries again
        if job.owner == SCHEDULER:  # otherwise an equal one is already running
            log.info("nightly_sync_submitted", job_id=str(job.id))


def keep_house(app: Flask, stop: Stop, pulse: Pulse) -> None:
    """Run the tasks until `stop` is set, while this process holds the lease."""
    settings: Settings = app.extensions["settings"]
    tasks = all_tasks(settings)
    holder = uuid.uuid4()
    renew_at = 0.0
    while not stop.wait(INTERVAL_SECONDS):
        now = time.monotonic()
        pulse.beat()
        try:
            with app.app_context():
                if now >= renew_at:
                    if not hold_lease(HOUSEKEEPING, holder, LEASE_DURATION):
                        stop.wait(RENEWAL_SECONDS)
                        continue
                    renew_at = now + RENEWAL_SECONDS
                run_tasks(tasks, now, pulse)
        except SQLAlchemyError as error:
            log.warning("housekeeping_without_database", error=_reason(error))


def run_tasks(tasks: Sequence[Task], now: float, pulse: Pulse) -> None:
    """Run the tasks that are due. One that fails does not hold up the others.

    Raises `SQLAlchemyError` if the database is unavailable: the others would fail as well.
    """
    for task in tasks:
        pulse.beat(TASK_TIMEOUT_SECONDS)
        try:
            task.run_if_due(now)
        except Exception as error:
            if isinstance(error, PoolTimeout):
                raise
            if isinstance(error, DBAPIError) and database_outage(error) is not None:
                raise
            log.exception("task_failed")
            db.session.rollback()


def _reason(error: SQLAlchemyError) -> str:
    # The text of SQLAlchemy's error repeats the whole statement.
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).partition("\n")[0]


def main(pulse: Pulse) -> None:
    """Run housekeeping until a signal ends it."""
    with Endings() as stop:
        keep_house(create_app(), stop, pulse)
