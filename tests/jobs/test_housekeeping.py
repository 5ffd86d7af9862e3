"""Housekeeping: the nightly sync, and when tasks run."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import uuid
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import automart
from automart.background import Job, JobState
from automart.background.maintenance import (
    HOUSEKEEPING,
    dispatch_due,
    dispatch_lost,
    hold_lease,
)
from automart.core.config import Settings
from automart.core.db import db, transaction
from jobs import housekeeping
from jobs.housekeeping import (
    INTERVAL_SECONDS,
    LEASE_DURATION,
    RENEWAL_SECONDS,
    Task,
    all_tasks,
    keep_house,
    run_tasks,
    start_nightly_sync,
)
from jobs.pulse import Pulse
from tests.support.logs import logged
from tests.support.sync import the_job
from tests.support.web import at_once

# The lease of housekeeping itself.
NO_TASKS = {hold_lease}
NIGHT = datetime(2026, 3, 29, 3, 30, tzinfo=UTC)


@pytest.fixture
def nightly(settings: Settings) -> Any:
    return replace(settings, vehicle_sync_at=time(3, 30))


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create jobs at the time of the test's night."""
    monkeypatch.setattr("automart.background.service.utcnow", lambda: NIGHT + timedelta(minutes=1))


def test_the_nightly_sync_starts_once_a_night(
    app: Flask,
    nightly: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for minutes in range(60):
        start_nightly_sync(nightly, NIGHT + timedelta(minutes=minutes))
        end_all_jobs()

    assert the_job().owner == "schedule"
    assert the_job().arguments == {"make_ids": None, "approve_deletions": False}
    (line,) = logged(caplog, "nightly_sync_submitted")
    assert line["job_id"] == str(the_job().id)
    following = NIGHT + timedelta(days=1)
    monkeypatch.setattr("automart.background.service.utcnow", lambda: following)
    for _ in range(2):
        start_nightly_sync(nightly, following)
        end_all_jobs()
    assert db.session.query(Job).count() == 2


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


def test_every_function_of_maintenance_is_a_task(settings: Settings) -> None:
    tasks = all_tasks(settings)
    called = {task.function for task in tasks}
    for module in pkgutil.walk_packages(automart.__path__, "automart."):
        if module.name.endswith(".maintenance"):
            found = inspect.getmembers(importlib.import_module(module.name), inspect.isfunction)
            functions = {
                function
                for name, function in found
                if function.__module__ == module.name and not name.startswith("_")
            }
            assert functions - NO_TASKS <= called, module.name
    assert all(0 < task.interval <= 3600 for task in tasks)
    assert all(callable(task.function) for task in tasks)


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


class Rounds:
    """Stops after some rounds, and records how long each wait is."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return len(self.waits) > self._rounds


class TestRounds:
    @pytest.fixture
    def done(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        done: list[int] = []
        tasks = [Task(0, lambda: done.append(1))]
        monkeypatch.setattr(housekeeping, "all_tasks", lambda _settings: tasks)
        return done

    def test_tasks_run_until_the_process_stops(self, app: Flask, done: list[int]) -> None:
        stop: Any = Rounds(3)
        keep_house(app, stop, Pulse())
        assert len(done) == 3
        assert stop.waits == [INTERVAL_SECONDS] * 4

    def test_only_the_process_with_the_lease_works(self, app: Flask, done: list[int]) -> None:
        assert hold_lease(HOUSEKEEPING, uuid.uuid4(), LEASE_DURATION)
        stop: Any = Rounds(4)
        keep_house(app, stop, Pulse())
        assert done == []
        assert stop.waits == [INTERVAL_SECONDS, RENEWAL_SECONDS] * 2 + [INTERVAL_SECONDS]

    def test_it_goes_on_when_the_database_is_back(
        self,
        app: Flask,
        done: list[int],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        errors = [
            OperationalError("SELECT 1", {}, Exception("connection refused\nmore")),
            PoolTimeout("no connection is free"),
        ]

        def hold(*arguments: Any) -> bool:
            if errors:
                raise errors.pop(0)
            return hold_lease(*arguments)

        monkeypatch.setattr(housekeeping, "hold_lease", hold)
        stop: Any = Rounds(3)
        keep_house(app, stop, Pulse())
        assert len(done) == 1
        reasons = [line["error"] for line in logged(caplog, "housekeeping_without_database")]
        assert reasons == ["connection refused", "no connection is free"]


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
