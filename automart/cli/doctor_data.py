"""The checks of `automart doctor` that look at what is stored."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select

from automart.background.kinds import KINDS, Queue
from automart.background.models import Job, JobState
from automart.catalogue.models import VehicleMake
from automart.cli.findings import Finding, Findings, Grade
from automart.core.db import db, release_connection, utcnow
from automart.core.errors import NotFound, Unavailable
from automart.customers.models import Customer
from automart.customers.photos import read_photo
from automart.oauth.signing_keys import undecryptable_keys
from automart.web.fields import rfc3339
from automart.webhooks.signing import undecryptable_secrets

# A job that is due starts within a second or two if there is a worker for it.
LONGEST_WAIT = timedelta(minutes=1)
CHECKED_PHOTOS = 10
NAMED_SECRETS = 5


def data_findings() -> Findings:
    """Check waiting jobs, secrets, the catalogue and photos."""
    yield from _waiting_jobs()
    yield from _secrets()
    yield from _catalogue()
    yield from _stored_photos()


def _waiting_jobs() -> Findings:
    for queue in Queue:
        of_queue = Job.kind.in_([kind.name for kind in KINDS.values() if kind.queue is queue])
        is_due = of_queue & (Job.state == JobState.QUEUED) & (Job.due_at <= utcnow())
        due = select(func.count(), func.min(Job.due_at)).where(is_due)
        count, since = db.session.execute(due).one()
        subject = f"Jobs of {queue}"
        if since is None or since > utcnow() - LONGEST_WAIT:
            yield Finding(Grade.OK, subject, f"{count} waiting")
            continue
        detail = f"{count} waiting, the oldest since {rfc3339(since.replace(microsecond=0))}"
        running = select(func.count()).where(of_queue, Job.state == JobState.RUNNING)
        if db.session.scalar(running):
            yield Finding(Grade.NOTE, subject, f"{detail}, while another one runs")
        else:
            advice = f"Does a worker serve this queue? python worker.py {queue}"
            yield Finding(Grade.BAD, subject, detail, advice)


def _secrets() -> Findings:
    lost = [*undecryptable_keys(), *undecryptable_secrets()]
    if not lost:
        yield Finding(Grade.OK, "SECRET_KEY", "decrypts the stored keys and secrets")
        return
    advice = (
        "Add the previous key to SECRET_KEY_FALLBACKS. If it is lost, run automart keys rotate, and"
        " rotate the webhook secrets of these offices."
    )
    others = len(lost) - NAMED_SECRETS
    detail = f"does not decrypt {', '.join(lost[:NAMED_SECRETS])}"
    yield Finding(
        Grade.BAD, "SECRET_KEY", f"{detail} and {others} more" if others > 0 else detail, advice
    )


def _catalogue() -> Findings:
    counted = select(func.count(VehicleMake.id), func.max(VehicleMake.synced_at))
    count, synced_at = db.session.execute(counted).one()
    if not count:
        advice = "Run automart makes import --all, or name makes by their ids; then automart sync."
        yield Finding(Grade.NOTE, "Catalogue", "has no makes, so no car can be added", advice)
    elif synced_at is None:
        yield Finding(Grade.NOTE, "Catalogue", f"{count} makes, never synced", "Run automart sync.")
    else:
        last = rfc3339(synced_at.replace(microsecond=0))
        yield Finding(Grade.OK, "Catalogue", f"{count} makes, last synced {last}")


def _stored_photos() -> Findings:
    """Read some photos that customers have. The storage may be another one than before."""
    with_photo = select(Customer.photo_token).where(Customer.photo_token.is_not(None))
    newest = with_photo.order_by(Customer.id.desc()).limit(CHECKED_PHOTOS)
    tokens = list(filter(None, db.session.scalars(newest)))
    release_connection()
    missing = 0
    for token in tokens:
        try:
            read_photo(token)
        except NotFound:
            missing += 1
        except Unavailable:
            return  # the check of the storage reports it
    if missing:
        advice = "Is PHOTO_STORAGE the right one? If so, restore it (docs/backup.md)."
        detail = f"{missing} of {len(tokens)} that were checked are missing"
        yield Finding(Grade.BAD, "Photos", detail, advice)
    else:
        yield Finding(Grade.OK, "Photos", f"{len(tokens)} checked" if tokens else "none stored")
