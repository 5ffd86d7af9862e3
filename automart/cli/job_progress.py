"""Shows the progress of a job: a bar on a terminal, occasional lines otherwise."""

from __future__ import annotations

import time
import uuid
from types import TracebackType
from typing import Protocol, Self

import redis
from flask import current_app
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from automart.background import Job, JobState
from automart.cli.console import Output
from automart.cli.errors import CommandError
from automart.core.db import db, release_connection
from automart.core.interrupts import Stop

POLL_INTERVAL = 0.2
# A running worker takes a job within a fraction of this time.
WORKER_EXPECTED_WITHIN = 5.0

NO_WORKER = "No worker has taken the job yet. Start one: python worker.py (or: automart up)."
NO_REDIS = (
    "Redis cannot be reached. The job is kept and starts when Redis and a worker are running."
)


class Display(Protocol):
    """Shows the progress of a job."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def show(self, job: Job) -> None: ...


def display_on(console: Output, noun: str) -> Display:
    """Return a display that suits the console. `noun` names the steps of the job."""
    return Bar(console, noun) if console.is_terminal else Lines(console, noun)


class Bar:
    """A progress bar."""

    def __init__(self, console: Output, noun: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(noun),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task(JobState.QUEUED, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: Job) -> None:
        self._progress.update(
            self._task, description=job.state, completed=job.done, total=job.total
        )


class Lines:
    """A line for each tenth that is done."""

    def __init__(self, console: Output, noun: str) -> None:
        self._console = console
        self._noun = noun
        self._last_shown: tuple[JobState, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Lines need no clean-up."""

    def show(self, job: Job) -> None:
        tenths = 10 * job.done // job.total if job.total else 0
        if (job.state, tenths) == self._last_shown:
            return
        self._last_shown = (job.state, tenths)
        progress = "" if job.total is None else f", {job.done} of {job.total} {self._noun}"
        self._console.print(f"{job.state}{progress}")


def watch(
    job_id: uuid.UUID,
    console: Output,
    noun: str,
    *,
    stop: Stop,
    worker_expected_within: float = WORKER_EXPECTED_WITHIN,
) -> Job:
    """Show the progress of a job until it has ended or `stop` is set. Return the job.

    If no worker has taken it after `worker_expected_within` seconds, print how to start one.
    """
    hint_at = time.monotonic() + worker_expected_within
    with display_on(console, noun) as display:
        while True:
            job = db.session.get(Job, job_id, populate_existing=True)
            release_connection()
            if job is None:
                raise CommandError(f"Job {job_id} no longer exists.")
            display.show(job)
            if job.state.has_ended or stop.wait(POLL_INTERVAL):
                return job
            if job.state is JobState.QUEUED and time.monotonic() > hint_at:
                hint_at = float("inf")
                console.print(_reason_for_waiting())


def _reason_for_waiting() -> str:
    client: redis.Redis = current_app.extensions["redis"]
    try:
        client.ping()
    except redis.RedisError:
        return f"{NO_REDIS} {NO_WORKER}"
    return NO_WORKER
