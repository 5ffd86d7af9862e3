"""What the function of a running job is given: its lease, and the request to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from flask import Flask
from flask.globals import app_ctx
from sqlalchemy.exc import DBAPIError

from automart.background.leases import RENEWAL_INTERVAL, JobLease, LeaseLost

log = structlog.get_logger(__name__)

stopping = threading.Event()
"""Set by SIGTERM in the process of a job."""


class Requeue(Exception):
    """The job gives up its worker before it is done, and is to be queued again as it stands.

    The message is the reason, for the log.
    """


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job.

    The job's function must end `lease` in its last transaction. A long one calls `check_stop` at
    least every few seconds.
    """

    lease: JobLease
    stopping: threading.Event

    def check_stop(self) -> None:
        """Raise `Requeue` if the worker is stopping."""
        if self.stopping.is_set():
            raise Requeue("The worker is stopping.")


@contextmanager
def renewed(lease: JobLease) -> Iterator[None]:
    """Renew `lease` from a thread while this process works on the job."""
    _renewals.begin(app_ctx.app, lease)
    try:
        yield
    finally:
        _renewals.end()


class _Renewals:
    """A thread that renews the lease of the current job.

    It serves one job after the other, and ends when it finds none: a thread for each job takes a
    fifth of the time of a short one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: tuple[Flask, JobLease] | None = None
        self._thread: threading.Thread | None = None

    def begin(self, app: Flask, lease: JobLease) -> None:
        with self._lock:
            self._current = app, lease
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
                self._thread.start()

    def end(self) -> None:
        with self._lock:
            self._current = None

    def _run(self) -> None:
        while True:
            time.sleep(RENEWAL_INTERVAL.total_seconds())
            with self._lock:
                if self._current is None:
                    self._thread = None
                    return
                app, lease = self._current
            try:
                with app.app_context():
                    lease.renew()
            except LeaseLost:
                pass  # the job finds that out with its next write
            except DBAPIError as error:
                # The lease has some time left, in which the next renewal may succeed.
                log.warning("lease_not_renewed", job_id=str(lease.job_id), error=str(error.orig))


_renewals = _Renewals()
