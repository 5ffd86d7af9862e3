"""Housekeeping: the nightly sync, and when tasks run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from automart.background import Job, JobState
from automart.background.maintenance import dispatch_due, dispatch_lost
from automart.core.config import Settings
from automart.core.db import db, transaction
from jobs.housekeeping import Task, run_tasks, start_nightly_sync
from jobs.pulse import Pulse
from tests.support.sync import the_job
from tests.support.web import at_once

NIGHT = datetime(2026, 3, 29, 3, 30, tzinfo=UTC)


@pytest.fixture
def nightly(settings: Settings) -> Any:
    return replace(settings, vehicle_sync_at=time(3, 30))


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create jobs at the time of the test's night."""
    monkeypatch.setattr("automart.background.service.utcnow", lambda: NIGHT + timedelta(minutes=1))


def test_the_nightly_sync_starts_once(app: Flask, nightly: Any) -> None:
    for minutes in range(60):
        start_nightly_sync(nightly, NIGHT + timedelta(minutes=minutes))
        end_all_jobs()

    assert the_job().owner == "schedule"
    assert the_job().arguments == {"make_ids": None, "approve_deletions": False}


@pytest.mark.parametrize("offset", [timedelta(minutes=-1), timedelta(hours=2)])
def test_the_nightly_sync_starts_neither_early_nor_by_day(
    app: Flask, nightly: Any, offset: Any
) -> None:
    start_nightly_sync(nightly, NIGHT + offset)

    assert db.session.query(Job).count() == 0


def test_a_late_nightly_sync_starts_after_midnight(
    app: Flask, nightly: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = datetime(2026, 3, 30, 0, 5, tzinfo=UTC)
    monkeypatch.setattr("automart.background.service.utcnow", lambda: late)
    before_midnight = replace(nightly, vehicle_sync_at=time(23, 30))
    for minutes in (0, 1, 24):
        start_nightly_sync(before_midnight, late + timedelta(minutes=minutes))
        end_all_jobs()

    assert the_job().owner == "schedule"


def test_one_of_many_concurrent_processes_starts_the_nightly_sync(app: Flask, nightly: Any) -> None:
    def look() -> None:
        with app.app_context():
            start_nightly_sync(nightly, NIGHT)

    at_once([look] * 4)

    assert the_job().owner == "schedule"


def test_without_a_time_there_is_no_nightly_sync(app: Flask, settings: Settings) -> None:
    start_nightly_sync(settings, NIGHT)

    assert db.session.query(Job).count() == 0


def test_the_nightly_sync_waits_for_the_end_of_another(
    app: Flask, client: FlaskClient, nightly: Any
) -> None:
    client.post("/v1/makes", json={"id": 474, "name": "Honda"})
    assert client.post("/v1/vehicle-syncs", json={"make_ids": [474]}).status_code == 202
    start_nightly_sync(nightly, NIGHT)
    assert db.session.query(Job).count() == 1
    end_all_jobs()
    start_nightly_sync(nightly, NIGHT + timedelta(minutes=5))

    assert db.session.query(Job).filter_by(owner="schedule").count() == 1


def test_a_task_runs_when_it_is_due_and_not_before() -> None:
    done = []
    task = Task(5, lambda: done.append(1))
    for now in (0, 1, 4.9, 5, 9, 10, 20):
        task.run_if_due(now)

    assert len(done) == 4


def end_all_jobs() -> None:
    with transaction():
        for job in db.session.query(Job).populate_existing():
            job.update({"state": JobState.SUCCEEDED, "finished_at": NIGHT})


class TestTasks:
    def test_a_task_that_fails_does_not_hold_up_the_others(self, app: Flask) -> None:
        done = []

        def fail() -> None:
            with transaction():
                raise KeyError("a row that cannot be processed")

        for _ in range(2):
            run_tasks([Task(0, fail), Task(0, lambda: done.append(1))], 0.0, Pulse())
        assert len(done) == 2

    def test_all_tasks_wait_while_the_database_is_unavailable(self, app: Flask) -> None:
        def fail() -> None:
            raise OperationalError("SELECT 1", {}, Exception("connection refused"))

        with pytest.raises(OperationalError):
            run_tasks([Task(0, fail), Task(0, pytest.fail)], 0.0, Pulse())

    def test_jobs_of_kinds_of_the_next_release_are_left_to_it(self, app: Flask) -> None:
        with transaction():
            values = {"arguments": {}, "time_limit": 60, "created_at": NIGHT}
            for dispatched_at in (None, NIGHT):
                db.session.add(Job(kind="of_the_future", dispatched_at=dispatched_at, **values))
                db.session.add(Job(kind="vehicle_sync", dispatched_at=dispatched_at, **values))
        assert (dispatch_due(), dispatch_lost()) == (1, 1)
