"""`automart sync`."""

from __future__ import annotations

import io
import signal
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from automart.background import Job, JobState
from automart.background.service import cancel_job
from automart.catalogue.models import VehicleMake, VehicleModel
from automart.catalogue.schemas import MAX_MAKES_PER_SYNC
from automart.catalogue.service import start_sync
from automart.cli.console import Output
from automart.cli.job_progress import NO_REDIS, NO_WORKER, Bar, Lines, watch
from automart.cli.sync import submit_sync
from automart.cli.sync_report import SyncExit, print_outcome
from automart.core.config import Settings
from automart.core.db import db, lock_or_404, transaction
from sandbox import Fault, Vpic
from tests.cli.conftest import Run, type_in, working
from tests.support.commands import usage_error
from tests.support.processes import environment
from tests.support.programs import automart

HONDA, ISUZU, TOYOTA = 474, 542, 448


@pytest.fixture
def makes(app: Flask) -> None:
    with transaction():
        for ident, name in ((HONDA, "Honda"), (ISUZU, "Isuzu"), (TOYOTA, "Toyota")):
            db.session.add(VehicleMake(id=ident, name=name))


def count_models(make_id: int) -> int:
    count = select(func.count()).where(VehicleModel.make_id == make_id)
    db.session.rollback()
    return db.session.scalar(count) or 0


def order(make_ids: list[int] | None = None) -> Job:
    with transaction():
        return start_sync(make_ids, approve_deletions=False)


def job(state: JobState = JobState.SUCCEEDED, **values: Any) -> Job:
    return Job(kind="vehicle_sync", state=state, done=0, **values)


def result(**values: Any) -> dict[str, Any]:
    nothing = {"makes_updated": [], "makes_unchanged": 0, "makes_held": [], "makes_failed": []}
    return nothing | values


@pytest.mark.usefixtures("makes", "worker")
class TestSync:
    def test_sync_shows_what_changed(self, run: Run) -> None:
        result = run("sync")
        assert result.exit_code == 0
        row = next(line for line in result.output.splitlines() if "Honda" in line)
        assert row.split() == ["474", "Honda", str(count_models(HONDA)), "0", "0"]
        assert "3 of 3 makes" in result.output
        assert "3 makes: 3 updated, 0 unchanged, 0 held, 0 failed." in result.output

    def test_sync_reports_that_nothing_changed(self, run: Run) -> None:
        run("sync")
        result = run("sync")
        assert result.exit_code == 0
        assert "Honda" not in result.output
        assert "3 makes: 0 updated, 3 unchanged, 0 held, 0 failed." in result.output

    def test_sync_of_some_makes_requests_no_others(self, run: Run, vpic: Vpic) -> None:
        assert run("sync", "--make", str(HONDA), "--make", str(TOYOTA)).exit_code == 0
        assert {request.make_id for request in vpic.requests} == {HONDA, TOYOTA}

    def test_a_held_make_is_shown_with_the_command_that_approves_it(
        self, run: Run, vpic: Vpic
    ) -> None:
        run("sync")
        before = count_models(ISUZU)
        vpic.order(Fault.EMPTY, make_id=ISUZU)
        result = run("sync")
        assert result.exit_code == 3
        assert f"542 Isuzu: would delete {before} models" in result.output
        assert count_models(ISUZU) == before
        command = "automart sync --make 542 --approve-deletions"
        assert command in result.output
        assert run(*command.split()[1:]).exit_code == 0
        assert count_models(ISUZU) == 0

    def test_a_failed_make_is_shown_with_its_reason(self, run: Run, vpic: Vpic) -> None:
        vpic.order(Fault.HTML, make_id=TOYOTA)
        result = run("sync")
        assert result.exit_code == 3
        assert "448 Toyota: NHTSA's answer is not JSON." in result.output
        assert "3 makes: 2 updated, 0 unchanged, 0 held, 1 failed." in result.output

    def test_a_sync_fails_if_all_its_makes_fail(self, run: Run, vpic: Vpic) -> None:
        vpic.order(Fault.HTML)
        result = run("sync")
        assert result.exit_code == 1
        assert "It failed. All 3 makes failed." in result.output


@pytest.mark.usefixtures("makes")
class TestOrder:
    def test_an_equal_sync_that_is_running_is_joined(self) -> None:
        running = order()
        console = Output(file=io.StringIO(), width=200)
        assert submit_sync(console).id == running.id
        printed = console.file.getvalue()
        assert printed == f"The same sync is running already: job {running.id}\n"
        assert db.session.scalar(select(func.count(Job.id))) == 1

    def test_a_cancelled_sync_has_its_own_exit_status(self, app: Flask, run: Run) -> None:
        with working(app, cancel):
            result = run("sync")
        assert result.exit_code == 4
        lines = result.output.splitlines()
        assert lines[0].startswith("Sync submitted: job ")
        assert lines[-1] == "It was cancelled. Changes that it had stored are kept."

    def test_a_different_sync_that_is_running_is_an_error(self, run: Run) -> None:
        running = order([HONDA])
        result = run("sync")
        assert result.exit_code == 1
        assert result.stderr == (
            "Error: Another sync is queued or running. Wait for its end, or cancel it. "
            f"It is job {running.id}: POST /jobs/{running.id}/cancel\n"
        )

    def test_an_unknown_make_is_an_error(self, run: Run) -> None:
        result = run("sync", "--make", "474", "--make", "99")
        assert (result.exit_code, result.stderr) == (2, "Error: There is no make 99.\n")
        assert db.session.scalar(select(func.count(Job.id))) == 0


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (
                ["--approve-deletions"],
                "--approve-deletions needs --make, or --held for all that is held.",
            ),
            (
                ["--make", "1"] * (MAX_MAKES_PER_SYNC + 1),
                f"At most {MAX_MAKES_PER_SYNC} makes can be named.",
            ),
            (["--make", "0"], "not an id"),
            (["--make", "9223372036854775808"], "not an id"),
            (["--make", "Honda"], "not an id"),
        ],
    )
    def test_wrong_usage_is_an_error(self, arguments: list[str], error: str) -> None:
        assert error in usage_error(type_in("sync", *arguments))


def cancel(job_id: object) -> None:
    with transaction():
        cancel_job(lock_or_404(Job, job_id))


class UntilItSays(io.StringIO):
    """A file that sets `said` once `text` was written to it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said = threading.Event()
        self._text = text

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._text in " ".join(self.getvalue().split()):
            self.said.set()
        return written


@pytest.mark.usefixtures("makes")
class TestWaiting:
    def test_watch_says_how_to_start_a_missing_worker(self, app: Flask) -> None:
        file = UntilItSays(NO_WORKER)
        console = Output(file=file)
        job = watch(order().id, console, "makes", stop=file.said, worker_expected_within=0)
        assert job.state is JobState.QUEUED
        assert file.getvalue().count("python worker.py") == 1
        assert NO_REDIS not in " ".join(file.getvalue().split())

    def test_watch_reports_that_redis_is_down(self, app: Flask) -> None:
        app.extensions["redis"].connection_pool.disconnect()
        app.extensions["redis"].connection_pool.connection_kwargs["path"] = "/nowhere/redis.sock"
        file = UntilItSays(f"{NO_REDIS} {NO_WORKER}")
        watch(order().id, Output(file=file), "makes", stop=file.said, worker_expected_within=0)
        assert file.said.is_set()

    @pytest.mark.processes
    def test_ctrl_c_stops_watching_but_not_the_sync(
        self, app: Flask, settings: Settings, tmp_path: Path
    ) -> None:
        with automart("sync", folder=tmp_path, env=environment(settings)) as program:
            program.wait_for("queued")
            assert program.end(signal.SIGINT) == 130
        job = db.session.scalars(select(Job)).one()
        assert job.state is JobState.QUEUED
        assert f"The sync continues. To cancel it: POST /jobs/{job.id}/cancel" in program.output


class TestDisplay:
    def test_a_terminal_gets_a_progress_bar(self) -> None:
        file = io.StringIO()
        console = Output(file=file, force_terminal=True, width=100, color_system=None)
        with Bar(console, "makes") as bar:
            bar.show(job(JobState.QUEUED))
            bar.show(job(JobState.RUNNING, total=11))
            bar.show(Job(state=JobState.SUCCEEDED, done=11, total=11))
        line = "━" * 40
        assert f"queued {line} 0/? makes" in file.getvalue()
        assert f"succeeded {line} 11/11 makes 0:00:00\n" in file.getvalue()

    def test_a_file_gets_a_line_for_each_tenth(self) -> None:
        file = io.StringIO()
        with Lines(Output(file=file), "makes") as lines:
            for done in range(1001):
                lines.show(Job(state=JobState.RUNNING, done=done, total=1000))
        printed = file.getvalue().splitlines()
        shown = [0, *range(100, 1001, 100)]
        assert printed == [f"running, {done} of 1000 makes" for done in shown]


UPDATED_MAKES = [
    {"id": 7, "name": "Seven", "created": 1, "updated": 0, "deleted": 20},
    {"id": 1234567, "name": "Long Name", "created": 300, "updated": 0, "deleted": 0},
]
HELD_MAKES = [
    {"id": 8, "name": "Eight", "would_delete": 4, "reason": "It would delete 4 of 5 models"},
    {"id": 9, "name": "Nine", "would_delete": 5, "reason": "NHTSA's answer was empty"},
]
FAILED_MAKES = [
    {"id": 1, "name": "One", "reason": "No answer."},
    {"id": 2, "name": "Two", "reason": "NHTSA's answer is not JSON."},
    {"id": 3, "name": "Three", "reason": "No answer."},
]
OF_ALL_KINDS = result(
    makes_updated=UPDATED_MAKES,
    makes_unchanged=3,
    makes_held=HELD_MAKES,
    makes_failed=FAILED_MAKES,
)
CHANGED = """
  Id        Make that changed   Created   Updated   Deleted
 ───────────────────────────────────────────────────────────
  7         Seven                     1         0        20
  1234567   Long Name               300         0         0

"""
WOULD_CHANGE = """
  Id        Make that would change   Created   Updated   Deleted
 ────────────────────────────────────────────────────────────────
  7         Seven                          1         0        20
  1234567   Long Name                    300         0         0

"""
OF_HELD = """\
  8 Eight: would delete 4 models. It would delete 4 of 5 models.
  9 Nine: would delete 5 models. NHTSA's answer was empty.
"""
APPROVAL = """\
To see their models: automart sync --held
If that is correct, approve it: automart sync --make 8 --make 9 --approve-deletions
"""
FAILED_AND_COUNTS = """\
Failed:
  1 One, 3 Three: No answer.
  2 Two: NHTSA's answer is not JSON.
10 makes: 2 updated, 3 unchanged, 2 held, 3 failed.
"""
NOTHING_CHANGED = "This was a dry run: nothing has changed.\n"
CANCELLED = "It was cancelled. Changes that it had stored are kept.\n"
HELD = f"Held, without any change:\n{OF_HELD}{APPROVAL}"


def printed_outcome(job: Job) -> tuple[SyncExit, str]:
    """Return the exit status of a sync, and what is printed about it."""
    console = Output(file=io.StringIO(), width=80)
    status = print_outcome(console, job)
    printed: str = console.file.getvalue()  # type: ignore[attr-defined] # of a StringIO
    return status, "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


class TestOutcome:
    def test_makes_of_all_kinds_are_shown(self) -> None:
        assert printed_outcome(job(result=OF_ALL_KINDS)) == (
            SyncExit.IN_PART,
            CHANGED + HELD + FAILED_AND_COUNTS,
        )

    def test_a_dry_run_says_what_would_change(self) -> None:
        tried = job(result=OF_ALL_KINDS, arguments={"dry_run": True})
        assert printed_outcome(tried) == (
            SyncExit.IN_PART,
            f"{WOULD_CHANGE}Would be held:\n{OF_HELD}{FAILED_AND_COUNTS}{NOTHING_CHANGED}",
        )

    def test_a_cancelled_sync_shows_what_it_has_stored(self) -> None:
        cancelled = job(JobState.CANCELLED, result=OF_ALL_KINDS)
        assert printed_outcome(cancelled) == (
            SyncExit.CANCELLED,
            f"{CHANGED}{HELD}{FAILED_AND_COUNTS}{CANCELLED}",
        )

    def test_a_sync_whose_makes_were_held_or_failed_succeeds_in_part(self) -> None:
        for of_kind in ({"makes_held": HELD_MAKES}, {"makes_failed": FAILED_MAKES}):
            status, _ = printed_outcome(job(result=result(**of_kind)))
            assert status is SyncExit.IN_PART
        one = job(result=result(makes_unchanged=1))
        counts = "1 make: 0 updated, 1 unchanged, 0 held, 0 failed.\n"
        assert printed_outcome(one) == (SyncExit.SUCCEEDED, counts)
        assert printed_outcome(job(JobState.FAILED)) == (SyncExit.FAILED, "It failed.\n")

    def test_updated_makes_after_the_first_hundred_are_counted(self) -> None:
        console = Output(file=io.StringIO())
        makes = [
            {"id": i, "name": f"M{i}", "created": 1, "updated": 0, "deleted": 0}
            for i in range(1, 151)
        ]
        status = print_outcome(console, job(result=result(makes_updated=makes)))
        printed = console.file.getvalue()
        assert status is SyncExit.SUCCEEDED
        assert "M100" in printed
        assert "M101" not in printed
        assert "… and 50 more, all of them in the job's result." in printed.splitlines()
        exactly = job(result=result(makes_updated=makes[:100]))
        assert "more" not in printed_outcome(exactly)[1]

    def test_makes_that_failed_for_the_same_reason_are_shown_together(self) -> None:
        console = Output(file=io.StringIO())
        makes = [{"id": i, "name": f"M{i}", "reason": "No answer."} for i in range(1, 8)]
        status = print_outcome(console, job(result=result(makes_failed=makes, makes_unchanged=1)))
        assert status is SyncExit.IN_PART
        line = "1 M1, 2 M2, 3 M3, 4 M4, 5 M5 and 2 more: No answer."
        assert line in console.file.getvalue()
        _, printed = printed_outcome(job(result=result(makes_failed=makes[:5])))
        assert "1 M1, 2 M2, 3 M3, 4 M4, 5 M5: No answer." in printed

    def test_brackets_in_names_are_printed_as_they_are(self) -> None:
        console = Output(file=io.StringIO())
        make = {"id": 1, "name": "[bold]", "created": 1, "updated": 0, "deleted": 0}
        print_outcome(console, job(result=result(makes_updated=[make])))
        assert "[bold]" in console.file.getvalue()

    def test_a_sync_that_failed_without_a_result_shows_its_error(self) -> None:
        console = Output(file=io.StringIO())
        error = {"detail": "The worker died 3 times."}
        status = print_outcome(console, job(JobState.FAILED, id=uuid.uuid4(), error=error))
        assert status is SyncExit.FAILED
        assert "It failed. The worker died 3 times." in console.file.getvalue()
