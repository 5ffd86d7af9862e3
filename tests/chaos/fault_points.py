"""Fault points: a process is killed (SIGKILL) at a commit that a test has chosen.

`install` is called in a process of the product before its program, as a `patch` of
tests/support/forks.py. The product itself contains no fault points.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any

from flask import Flask, request
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session

from automart.background import leases, maintenance
from automart.core import parent_death
from automart.core.compiled_statement import CompiledStatement
from automart.webhooks import deliveries
from jobs import context, housekeeping
from jobs.rq_workers import Message

BEFORE, AFTER = "before", "after"
HOUSEKEEPING = "housekeeping"


@dataclass(frozen=True)
class FaultPoints:
    """Arms fault points: the first process that reaches one is killed, and no other one."""

    folder: Path

    @property
    def patch(self) -> str:
        """The code that installs the fault points in a process."""
        return f"from tests.chaos import fault_points\nfault_points.install({str(self.folder)!r})\n"

    def arm(self, work: str, commit: int, moment: str) -> None:
        """Kill a process that does `work` before or after its commit with this number, from 1."""
        draft = self._armed(work).with_suffix(".draft")
        draft.write_text(f"{commit} {moment}")
        draft.rename(self._armed(work))

    def disarm(self, work: str) -> bool:
        """Return whether the armed point was reached."""
        try:
            self._armed(work).unlink()
        except FileNotFoundError:
            return True
        return False

    def reach(self, work: str, commit: int, moment: str) -> None:
        """Kill this process if this point is armed."""
        try:
            armed = self._armed(work).read_text()
        except FileNotFoundError:
            return
        if armed == f"{commit} {moment}" and not self.disarm(work):
            os.kill(os.getpid(), signal.SIGKILL)

    def _armed(self, work: str) -> Path:
        return self.folder / f"{work.replace('/', ':')}.armed"


class _Thread(threading.local):
    work = ""
    commits = 0


_thread = _Thread()


@contextmanager
def _counted(work: str) -> Iterator[None]:
    """Count the commits of this thread as those of `work`."""
    _thread.work, _thread.commits = work, 0
    try:
        yield
    finally:
        _thread.work = ""


def install(folder: str) -> None:
    """Install the fault points in this process and its forks."""
    points = FaultPoints(Path(folder))

    @event.listens_for(Engine, "commit")
    def before(connection: Connection) -> None:
        if _thread.work and connection.get_execution_options().get("writes"):
            _thread.commits += 1
            points.reach(_thread.work, _thread.commits, BEFORE)

    @event.listens_for(Session, "after_commit")
    def after(session: Session) -> None:
        if _thread.work and "after_commit" in session.info:
            points.reach(_thread.work, _thread.commits, AFTER)

    # An INSERT or UPDATE that is a transaction of its own. mypy allows no method to be replaced.
    fetch = CompiledStatement.fetch

    @wraps(fetch)
    def fetch_at_points(self: CompiledStatement, *args: Any) -> Any:
        if not (_thread.work and self.statement.is_dml):
            return fetch(self, *args)
        _thread.commits += 1
        points.reach(_thread.work, _thread.commits, BEFORE)
        rows = fetch(self, *args)
        points.reach(_thread.work, _thread.commits, AFTER)
        return rows

    CompiledStatement.fetch = fetch_at_points  # type: ignore[method-assign]
    # The kind of a job is the first word of its message's description.
    _wrap(Message, "_execute", lambda message: str(message.description).partition(" ")[0])
    _wrap(housekeeping, "run_tasks", lambda *_: HOUSEKEEPING)
    _wrap(Flask, "full_dispatch_request", lambda _: f"{request.method} {request.path}")
    _hasten()


def _wrap(owner: Any, name: str, work_of: Callable[..., str]) -> None:
    function = getattr(owner, name)

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with _counted(work_of(*args)):
            return function(*args, **kwargs)

    setattr(owner, name, wrapper)


def _hasten() -> None:
    """Shorten what a deployment waits for after a kill: there are many of them in a test."""
    leases.LEASE = housekeeping.LEASE_DURATION = timedelta(seconds=2)
    context.RENEWAL_INTERVAL = timedelta(seconds=0.4)
    housekeeping.RENEWAL_SECONDS = 0.4
    maintenance.MESSAGE_LOST_AFTER = timedelta(seconds=1)
    deliveries.PAUSES = (timedelta(seconds=0.5),) * len(deliveries.PAUSES)
    parent_death.SHORTEST_PAUSE, parent_death.LONGEST_PAUSE = 0.05, 0.2
