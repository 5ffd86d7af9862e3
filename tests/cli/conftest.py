"""Fixtures that run commands in this process, and a worker beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select
from typer.testing import CliRunner, Result

from automart.background import Job, JobState
from automart.cli import app as command_line
from automart.cli import job_progress
from automart.core.config import Settings
from automart.core.db import db, release_connection
from jobs import runner
from tests.support.processes import environment

Run = Callable[..., Result]
POLL_INTERVAL = 0.01


@pytest.fixture(autouse=True)
def _wide_terminal(wide_terminal: None) -> None:
    """Use this terminal in all tests of commands."""


@pytest.fixture
def run(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs `automart …` with the settings of the test, in an empty folder."""
    monkeypatch.setattr(job_progress, "POLL_INTERVAL", POLL_INTERVAL)
    monkeypatch.chdir(tmp_path)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    return type_in


def type_in(*arguments: str) -> Result:
    """Run `automart …`. A traceback fails the test."""
    result = CliRunner().invoke(command_line, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def worker(app: Flask) -> Iterator[None]:
    """Run queued jobs in a thread as soon as they appear."""
    with working(app, lambda job_id: runner.run(str(job_id))):
        yield


class working:  # noqa: N801 - used like a function
    """Calls `work` with the id of each queued job, in a thread."""

    def __init__(self, app: Flask, work: Callable[[object], None]) -> None:
        self._app = app
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        queued = select(Job.id).where(Job.state == JobState.QUEUED)
        while not self._stop.wait(POLL_INTERVAL):
            with self._app.app_context():
                found = list(db.session.scalars(queued))
                release_connection()
                for job_id in found:
                    self._work(job_id)
