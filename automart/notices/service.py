"""Record notices. Each is a row before it is a message, and there is one for each subject."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, exists, func, select

from automart.background.kinds import NOTICE_DELIVERY, VEHICLE_SYNC
from automart.background.models import Job, JobState, SubmittedJob
from automart.background.service import active_job, ensure_due
from automart.catalogue.models import OutcomeState, SyncOutcome, VehicleMake
from automart.catalogue.service import NIGHTLY_SYNC_TOLERANCE, SCHEDULER, SINGLETON, last_night
from automart.catalogue.sync import NOT_REQUESTED
from automart.core.batches import batched
from automart.core.config import current_settings
from automart.core.db import db, insert, lock_name, release_connection, transaction, utcnow
from automart.notices.models import Notice, ReportedMake
from automart.notices.texts import HeldMake, NightlySync, Text, no_longer_held, not_started

log = structlog.get_logger(__name__)

LOCK = "notices"
ACTOR = "notices"
# An older sync is no news, for example when NOTIFY_URLS is set for the first time.
NEWS_FOR = timedelta(days=2)


def record_notices() -> int:
    """Record what operators must know and have not been notified of. Return the number of notices.

    Does nothing unless NOTIFY_URLS is set.
    """
    if not current_settings().notify_urls:
        return 0
    syncs = [sync for sync in _unreported_syncs() if sync.needs_attention]
    settled = _settled_makes()
    blocked = _blocked_night()
    release_connection()
    if not syncs and not settled and not blocked:
        return 0
    with transaction():
        lock_name(LOCK)
        recorded = sum(map(_record_sync, syncs)) + _record_settled(settled)
        if blocked:
            recorded += _record(*blocked)
        if recorded:
            ensure_job()
    return recorded


def ensure_job(due_at: datetime | None = None) -> SubmittedJob:
    """Return the active job that sends notices, due at `due_at` (now) at the latest.

    The caller has locked the name `LOCK`.
    """
    return ensure_due(NOTICE_DELIVERY, singleton=LOCK, due_at=due_at, owner=ACTOR)


def _unreported_syncs() -> Iterator[NightlySync]:
    ended = (
        select(Job)
        .where(
            Job.kind == VEHICLE_SYNC.name,
            Job.owner == SCHEDULER,
            Job.finished_at > utcnow() - NEWS_FOR,
        )
        .order_by(Job.id)
    )
    for job in db.session.scalars(ended.execution_options(populate_existing=True)).all():
        is_reported = exists().where(Notice.subject == _subject(job.id))
        if not db.session.scalar(select(is_reported)):
            yield _look_at(job)


def _look_at(job: Job) -> NightlySync:
    failure, count, why = None, 0, None
    if job.state is JobState.FAILED:
        failure = str((job.error or {}).get("detail") or "No reason is known.")
    else:
        not_requested = select(func.count(), func.min(SyncOutcome.reason)).where(
            SyncOutcome.job_id == job.id,
            SyncOutcome.state == OutcomeState.FAILED,
            SyncOutcome.reason.startswith(NOT_REQUESTED),
        )
        count, why = db.session.execute(not_requested).one()
    return NightlySync(
        job.id, job.started_at or job.created_at, failure, count, why, _newly_held(job)
    )


def _newly_held(job: Job) -> list[HeldMake]:
    """Return the makes that this sync held, that are still held, and that no notice reported."""
    held = (
        select(VehicleMake.id, VehicleMake.name, SyncOutcome.reason)
        .join(SyncOutcome, SyncOutcome.make_id == VehicleMake.id)
        .where(
            SyncOutcome.job_id == job.id,
            SyncOutcome.state == OutcomeState.HELD,
            VehicleMake.held_since <= job.finished_at,
            ~exists().where(ReportedMake.make_id == VehicleMake.id),
        )
        .order_by(VehicleMake.id)
    )
    return [HeldMake(*row) for row in db.session.execute(held)]


def _settled_makes() -> list[HeldMake]:
    """Return the reported makes that are no longer held, unless a sync is active, which may settle
    more of them."""
    still_held = exists().where(
        VehicleMake.id == ReportedMake.make_id, VehicleMake.held_since.is_not(None)
    )
    settled = select(ReportedMake.make_id, ReportedMake.make_name).where(~still_held)
    found = [HeldMake(*row) for row in db.session.execute(settled.order_by(ReportedMake.make_id))]
    return found if found and active_job(SINGLETON) is None else []


def _blocked_night() -> tuple[str, Text] | None:
    """Return the subject and text of a notice if another sync kept the nightly one from starting
    until it was too late, and that was within the last hour."""
    at, now = current_settings().vehicle_sync_at, utcnow()
    if at is None:
        return None
    due = last_night(at, now)
    too_late = due + NIGHTLY_SYNC_TOLERANCE
    if not too_late < now < too_late + NIGHTLY_SYNC_TOLERANCE:
        return None
    is_sync = Job.kind == VEHICLE_SYNC.name
    started = exists().where(is_sync, Job.owner == SCHEDULER, Job.created_at >= due)
    still_active = Job.finished_at.is_(None) | (Job.finished_at >= too_late)
    other = select(Job.id).where(is_sync, Job.created_at < due, still_active)
    subject = f"not_started:{due:%Y-%m-%dT%H:%M}"
    is_reported = exists().where(Notice.subject == subject)
    running = db.session.scalar(other.where(~started, ~is_reported).limit(1))
    return (subject, not_started(due, running)) if running else None


def _record_sync(sync: NightlySync) -> int:
    if not _record(_subject(sync.job_id), sync.text()):
        return 0
    if sync.held:
        rows = [{"make_id": make.make_id, "make_name": make.name} for make in sync.held]
        db.session.execute(insert(ReportedMake).on_conflict_do_nothing(), rows)
    return 1


def _record_settled(makes: Sequence[HeldMake]) -> int:
    names = {make.make_id: make for make in makes}
    deleted: list[int] = []
    for part in batched(names):
        gone = delete(ReportedMake).where(ReportedMake.make_id.in_(part))
        deleted += db.session.scalars(gone.returning(ReportedMake.make_id))
    if not deleted:
        return 0  # another process has recorded it
    text = no_longer_held([names[make_id] for make_id in sorted(deleted)])
    return _record(f"no_longer_held:{uuid.uuid4()}", text)


def _record(subject: str, text: Text) -> int:
    """Add a notice. Return 0 if there is one for this subject."""
    new = insert(Notice).values(subject=subject, title=text.title, body=text.body)
    ident = db.session.scalar(new.on_conflict_do_nothing().returning(Notice.id))
    if ident is None:
        return 0
    log.info("notice_recorded", notice_id=ident, title=text.title)
    return 1


def _subject(job_id: uuid.UUID) -> str:
    return f"{VEHICLE_SYNC.name}:{job_id}"
