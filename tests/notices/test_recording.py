"""What operators are notified of, and that it is once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from automart.background import Job, JobState
from automart.background.maintenance import requeue_orphans
from automart.catalogue import nhtsa, service
from automart.catalogue.models import SyncOutcome, VehicleMake
from automart.catalogue.service import SCHEDULER, start_sync
from automart.core.db import db, transaction, utcnow
from automart.notices.maintenance import KEPT_FOR, expire_notices, record_notices
from automart.notices.models import Notice, NoticeState, ReportedMake
from automart.notices.service import NEWS_FOR
from jobs import catalogue
from sandbox import Fault
from sandbox.vpic import Vpic
from tests.notices.conftest import Night
from tests.support.databases import on_sqlite
from tests.support.logs import logged
from tests.support.notified import NotifiedService
from tests.support.sync import add_models, catalogue_of
from tests.support.web import at_once

MANY = {n: f"Model {n}" for n in range(1, 10)}
FEW = {1: "Model 1"}
CIVIC = {100: "Civic"}


WHAT_TO_DO = (
    "Nothing of what is held has changed. To see it model by model: automart sync --held."
    " To approve it: automart sync --make ID --approve-deletions"
)


def started(sync: Job) -> str:
    """Return the last paragraph of a notice of this sync."""
    assert sync.started_at is not None
    # PUBLIC_URL is required with PostgreSQL.
    where = "Its job is {}." if db.engine.name == "sqlite" else "http://localhost/jobs/{}"
    return f"It started at {sync.started_at:%Y-%m-%d %H:%M} UTC. {where.format(sync.id)}"


def add_failed_sync(**changes: Any) -> None:
    """Store a nightly sync that has just failed."""
    values = {"kind": "vehicle_sync", "arguments": {}, "time_limit": 60, "owner": SCHEDULER}
    ended = {"state": JobState.FAILED, "error": {"detail": "…"}, "finished_at": utcnow()}
    with transaction():
        db.session.add(Job(**values | ended | changes))


def test_held_makes_are_reported_once_and_once_more_when_they_are_settled(
    night: Night, mail: NotifiedService, chat: NotifiedService, run_jobs: Callable[[], None]
) -> None:
    add_models({7: MANY, 8: CIVIC})
    for _ in range(3):
        night({7: FEW, 8: {}})
    (notice,) = mail.requests
    assert notice["title"] == "Automart: the nightly sync holds 2 makes"
    job = db.session.query(Job).filter_by(kind="vehicle_sync").order_by(Job.id).first()
    assert job is not None
    assert notice["message"] == (
        "- Make 7 (7): It would delete 8 of 9 models\n"
        "- Make 8 (8): NHTSA's answer was empty\n"
        f"\n{WHAT_TO_DO}\n\n{started(job)}"
    )

    night({7: FEW, 8: CIVIC})
    assert mail.titles[1:] == ["Automart: 1 make is no longer held"]
    assert mail.requests[1]["message"] == (
        "- Make 8 (8)\n\nIts changes were applied, or are no longer many."
    )

    with transaction():
        start_sync([7], approve_deletions=True)
    assert record_notices() == 0, "a sync is active"
    run_jobs()
    assert [record_notices(), record_notices()] == [1, 0]
    run_jobs()
    assert mail.requests[2]["message"].startswith("- Make 7 (7)\n\n")
    assert chat.titles == mail.titles
    assert db.session.query(ReportedMake).count() == 0

    night({7: {}, 8: CIVIC})
    assert mail.titles[3:] == ["Automart: the nightly sync holds 1 make"]


@on_sqlite
def test_a_deleted_make_is_no_longer_held(night: Night, mail: NotifiedService) -> None:
    add_models({1: MANY, 2: CIVIC})
    night({1: {}, 2: CIVIC})
    with transaction():
        service.delete_make(db.session.get_one(VehicleMake, 1))
    night({2: CIVIC})
    assert mail.titles[1:] == ["Automart: 1 make is no longer held"]


@on_sqlite
def test_a_sync_does_not_report_what_only_others_held(
    night: Night, vpic: Vpic, mail: NotifiedService, run_jobs: Callable[[], None]
) -> None:
    add_models({7: MANY, 8: CIVIC})
    vpic.serve(catalogue_of({7: FEW, 8: CIVIC}))
    with transaction():
        start_sync([7], approve_deletions=False)
    run_jobs()
    assert db.session.get_one(VehicleMake, 7).held_since is not None
    vpic.order(Fault.WRONG_SHAPE, make_id=7)
    assert night({7: FEW, 8: CIVIC}).state is JobState.SUCCEEDED
    assert mail.titles == []
    vpic.behave()
    night({7: FEW, 8: CIVIC})
    assert mail.titles == ["Automart: the nightly sync holds 1 make"]


@on_sqlite
def test_many_makes_are_not_all_named(night: Night, mail: NotifiedService) -> None:
    makes = range(1, 25)
    add_models({make: {make: "Model"} for make in makes})
    night({make: {} for make in makes})
    assert mail.titles == ["Automart: the nightly sync holds 24 makes"]
    lines = [line for line in mail.requests[0]["message"].splitlines() if line.startswith("- ")]
    assert len(lines) == 21
    assert lines[-1] == "- and 4 more"
    night({make: {make: "Model"} for make in makes})
    assert mail.titles[1:] == ["Automart: 24 makes are no longer held"]
    assert mail.requests[1]["message"] == "\n".join(
        [
            *(f"- Make {make} ({make})" for make in range(1, 21)),
            *("- and 4 more", "", "Their changes were applied, or are no longer many."),
        ]
    )


def test_a_failed_nightly_sync_is_reported(night: Night, vpic: Vpic, mail: NotifiedService) -> None:
    add_models({1: CIVIC})
    vpic.order(Fault.WRONG_SHAPE)
    job = night({1: CIVIC})
    assert mail.titles == ["Automart: the nightly sync failed"]
    assert mail.requests[0]["message"] == f"{job.error['detail']}\n\n{started(job)}"
    vpic.behave()
    night({1: CIVIC})
    assert len(mail.requests) == 1


@on_sqlite
def test_a_nightly_sync_that_gave_up_is_reported(
    night: Night, vpic: Vpic, mail: NotifiedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nhtsa, "FIRST_BACKOFF", 3 * nhtsa.GIVE_UP_AFTER)  # not again
    monkeypatch.setattr(nhtsa, "LONGEST_BACKOFF", 3 * nhtsa.GIVE_UP_AFTER)
    monkeypatch.setattr(catalogue, "REQUESTS_AHEAD", 1)
    monkeypatch.setattr(catalogue, "MAX_BATCH", 1)
    served = {make: {make: f"Model {make}"} for make in range(1, 41)}
    add_models(served)
    for make in range(20, 41):
        vpic.order(Fault.FORBIDDEN, make_id=make)
    job = night(served)
    assert job.state is JobState.SUCCEEDED
    assert mail.titles == ["Automart: the nightly sync gave up"]
    not_requested = select(SyncOutcome.reason).where(SyncOutcome.reason.startswith("Not requested"))
    reasons = db.session.scalars(not_requested).all()
    assert mail.requests[0]["message"] == (
        f"{len(reasons)} makes kept their models. {reasons[0]}\n\n{started(job)}"
    )
    vpic.behave()
    night(served)
    assert len(mail.requests) == 1


@on_sqlite
def test_a_nightly_sync_that_was_abandoned_is_reported(
    app: Flask, mail: NotifiedService, run_jobs: Callable[[], None]
) -> None:
    with transaction():
        job_id = start_sync(None, approve_deletions=False, owner=SCHEDULER).id
        job = db.session.get_one(Job, job_id)
        job.update({"state": JobState.RUNNING, "claim": job.id, "stalls": 2})
        job.lease_until = utcnow() - timedelta(minutes=1)
    requeue_orphans()
    record_notices()
    run_jobs()
    assert mail.titles == ["Automart: the nightly sync failed"]
    assert "The worker died 3 times" in mail.requests[0]["message"]


@pytest.mark.parametrize("change", ["owner", "age", "cancelled", "no setting"])
@on_sqlite
def test_other_syncs_and_old_ones_are_not_reported(app: Flask, change: str) -> None:
    if change == "no setting":
        settings = app.extensions["settings"]
        app.extensions["settings"] = replace(settings, notify_urls=())
    changes: dict[str, dict[str, Any]] = {
        "owner": {"owner": "cli"},
        "age": {"finished_at": utcnow() - NEWS_FOR - timedelta(minutes=1)},
        "cancelled": {"state": JobState.CANCELLED},
        "no setting": {},
    }
    add_failed_sync(**changes[change])
    assert record_notices() == 0
    assert db.session.query(Notice).count() == 0


@on_sqlite
def test_a_nightly_sync_that_another_one_kept_from_starting_is_reported(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = datetime(2026, 3, 29, 23, 30, tzinfo=UTC)
    settings = app.extensions["settings"]
    app.extensions["settings"] = replace(settings, vehicle_sync_at=time(23, 30))
    values = {"arguments": {}, "time_limit": 60}
    job = Job(**values, kind="vehicle_sync", owner="cli", created_at=due - timedelta(minutes=5))
    night_before = {"kind": "vehicle_sync", "owner": SCHEDULER, "created_at": due - timedelta(1)}
    ended = {"state": JobState.SUCCEEDED, "finished_at": due - timedelta(hours=23)}
    with transaction():
        db.session.add(job)
        db.session.add(Job(**values | night_before | ended))
        db.session.add(Job(**values, kind="csv_import", owner=SCHEDULER, created_at=due))

    def recorded_after(minutes: int) -> int:
        now = due + timedelta(minutes=minutes)
        monkeypatch.setattr("automart.notices.service.utcnow", lambda: now)
        return record_notices()

    assert [recorded_after(minutes) for minutes in (-1, 59, 121, 61, 62)] == [0, 0, 0, 1, 0]
    notice = db.session.query(Notice).one()
    assert notice.title == "Automart: the nightly sync was not started"
    assert notice.body == (
        "It was due at 2026-03-29 23:30 UTC. Another sync was queued or running for an hour,"
        f" so the next one starts in the following night. Its job is {job.id}."
    )
    with transaction():
        db.session.query(Notice).delete()
        finished = {"state": JobState.SUCCEEDED, "finished_at": due + timedelta(minutes=30)}
        db.session.query(Job).filter_by(id=job.id).update(finished)
    assert recorded_after(61) == 0


@on_sqlite
def test_a_notice_has_the_address_of_its_job(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    settings = app.extensions["settings"]
    app.extensions["settings"] = replace(settings, public_url="https://cars.example")
    add_failed_sync(error=None)
    assert record_notices() == 1
    sync = db.session.query(Job).filter_by(kind="vehicle_sync").one()
    notice = db.session.query(Notice).one()
    assert notice.body == (
        f"No reason is known.\n\nIt started at {sync.created_at:%Y-%m-%d %H:%M} UTC."
        f" https://cars.example/jobs/{sync.id}"
    )
    (line,) = logged(caplog, "notice_recorded")
    assert (line["notice_id"], line["title"]) == (notice.id, notice.title)
    sending = db.session.query(Job).filter_by(kind="notice_delivery").one()
    assert (sending.owner, sending.singleton) == ("notices", "notices")


@pytest.mark.parametrize("case", ["started", "another kind", "later"])
@on_sqlite
def test_a_nightly_sync_that_nothing_kept_from_starting_is_not_reported(
    app: Flask, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    due = datetime(2026, 3, 29, 23, 30, tzinfo=UTC)
    settings = app.extensions["settings"]
    app.extensions["settings"] = replace(settings, vehicle_sync_at=time(23, 30))
    monkeypatch.setattr("automart.notices.service.utcnow", lambda: due + timedelta(minutes=61))
    values = {"arguments": {}, "time_limit": 60}
    kind = "csv_import" if case == "another kind" else "vehicle_sync"
    created_at = due + timedelta(minutes=1 if case == "later" else -5)
    with transaction():
        db.session.add(Job(**values, kind=kind, owner="cli", created_at=created_at))
        if case == "started":
            db.session.add(Job(**values, kind=kind, owner=SCHEDULER, created_at=due))
    assert record_notices() == 0


def test_concurrent_housekeeping_records_a_notice_once(app: Flask) -> None:
    add_failed_sync()

    def record() -> None:
        with app.app_context():
            record_notices()

    at_once([record] * 4)
    assert db.session.query(Notice).count() == 1
    assert db.session.query(Job).filter_by(kind="notice_delivery").count() == 1


@on_sqlite
def test_notices_are_deleted_30_days_after_their_end(app: Flask) -> None:
    for days in (-1, 1):
        notice = Notice(subject=str(days), title="…", body="…")
        ended = utcnow() - KEPT_FOR + timedelta(days=days)
        with transaction():
            db.session.add(notice)
            db.session.flush()
            notice.update({"state": NoticeState.SENT, "next_attempt_at": None, "ended_at": ended})
    assert expire_notices() == 1
    assert [notice.subject for notice in db.session.query(Notice)] == ["1"]
