"""How the run of a job ends."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask
from rq.timeouts import JobTimeoutException
from sqlalchemy.exc import OperationalError

from automart.background import JobState, kinds, submit
from automart.background.leases import LeaseLost
from automart.core.db import transaction
from automart.core.errors import Conflict, Unavailable
from jobs import catalogue, runner, webhooks
from jobs.context import Requeue, Run, stopping
from tests.support.databases import on_sqlite
from tests.support.logs import logged
from tests.support.sync import the_job

Logs = list[dict[str, Any]]
Perform = Callable[[Callable[..., None]], Logs]


@pytest.fixture(autouse=True)
def _not_stopping() -> Iterator[None]:
    stopping.clear()
    yield
    stopping.clear()


@pytest.fixture
def perform(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Perform:
    """Run a submitted job whose function is the given one, and return what is logged."""

    def perform(function: Callable[..., None]) -> Logs:
        monkeypatch.setattr(catalogue, "vehicle_sync", function)
        with transaction():
            job = submit(kinds.VEHICLE_SYNC)
        assert job is not None
        runner.run(str(job.id))
        lines = (record.msg for record in caplog.records if record.name == runner.__name__)
        return [line for line in lines if isinstance(line, dict)]

    return perform


def test_a_job_that_ends_its_lease_succeeds(perform: Perform) -> None:
    def function(run: Run) -> None:
        with transaction():
            run.lease.succeed({"done": True})

    ended = perform(function)[-1]
    assert (ended["event"], ended["state"]) == ("job_ended", "succeeded")
    assert ended["duration_s"] >= 0
    assert the_job().state is JobState.SUCCEEDED


def test_a_job_that_does_not_end_its_lease_fails(perform: Perform) -> None:
    with pytest.raises(
        RuntimeError, match=r"jobs\.catalogue\.vehicle_sync has not ended its lease"
    ):
        perform(lambda run: None)
    assert the_job().state is JobState.FAILED
    assert the_job().error["status"] == 500


@on_sqlite
@pytest.mark.parametrize(
    ("raised", "status", "detail", "has_traceback"),
    [
        (Conflict("It is there."), 409, "It is there.", False),
        (Unavailable("It is not there."), 503, "It is not there.", True),
        (
            JobTimeoutException(),
            500,
            "The job took longer than its limit of 120 seconds.",
            True,
        ),
        (ValueError("a secret"), 500, "Internal error. It has been logged.", True),
    ],
)
def test_a_job_fails_with_the_reason_that_its_caller_may_know(
    perform: Perform, raised: Exception, status: int, detail: str, has_traceback: bool
) -> None:
    def function(run: Run) -> None:
        raise raised

    logs: Logs = []
    with suppress(ValueError):  # an unexpected one is listed by RQ as well
        logs = perform(function)
    assert the_job().state is JobState.FAILED
    assert (the_job().error["status"], the_job().error["detail"]) == (status, detail)
    if logs:
        failed = logs[-1]
        assert (failed["event"], failed["detail"]) == ("job_failed", detail)
        assert failed["exc_info"] is has_traceback
        assert failed["duration_s"] >= 0


@on_sqlite
@pytest.mark.parametrize(
    ("raised", "event"),
    [
        (LeaseLost(), "job_lease_lost"),
        (OperationalError("", {}, Exception("connection refused")), "job_lost_database"),
    ],
)
def test_nothing_is_recorded_without_lease_or_database(
    perform: Perform, caplog: pytest.LogCaptureFixture, raised: Exception, event: str
) -> None:
    def function(run: Run) -> None:
        raise raised

    with suppress(OperationalError):
        perform(function)
    assert len(logged(caplog, event)) == 1
    assert (the_job().state, the_job().error) == (JobState.RUNNING, None)


def test_a_job_that_is_not_queued_is_not_run(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    assert runner.run(str(uuid.uuid4())) is None
    assert len(logged(caplog, "job_not_claimed")) == 1
    assert logged(caplog, "job_started") == []


def test_the_lines_of_a_job_have_what_identifies_it(perform: Perform) -> None:
    first = perform(lambda run: run.lease.requeue())[0]
    assert first["event"] == "job_started"
    assert first["job_id"] == str(the_job().id)
    assert (first["kind"], first["caller"], first["attempt"]) == ("vehicle_sync", None, 1)


def test_a_lease_whose_end_was_rolled_back_has_not_ended(perform: Perform) -> None:
    def function(run: Run) -> None:
        with transaction():
            run.lease.succeed({})
            raise Requeue("The transaction is rolled back.")

    assert perform(function)[-1]["event"] == "job_requeued"
    assert the_job().state is JobState.QUEUED


def test_a_job_that_stops_with_its_worker_is_queued_again(perform: Perform) -> None:
    def function(run: Run) -> None:
        stopping.set()
        run.check_stop()

    assert perform(function)[-1]["reason"] == "The worker is stopping."
    assert (the_job().state, the_job().attempts) == (JobState.QUEUED, 0)


def test_a_webhook_job_whose_time_is_over_is_queued_again(
    perform: Perform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TIME_SLICE_SECONDS", -1.0)
    monkeypatch.setattr(webhooks.deliveries, "next_due", lambda _endpoint_id: object())
    monkeypatch.setattr(webhooks, "_deliver", lambda *_: pytest.fail("It is delivered."))
    logs = perform(lambda run: webhooks.webhook_delivery(run, 1))
    assert logs[-1]["reason"] == "The time slice is over."
    assert the_job().state is JobState.QUEUED
