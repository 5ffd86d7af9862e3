"""What the function of a running job is given: its lease, and the request to stop."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import structlog
from flask import Flask
from flask.globals import app_ctx
from sqlalchemy.exc import DBAPIError

from automart.background.leases import RENEWAL_INTERVAL, JobLease, LeaseLost
from jobs.periodic import Periodic

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


_renewals = Periodic("lease")


def renewed(lease: JobLease) -> AbstractContextManager[None]:
    """Renew `lease` from a thread while this process works on the job."""
    renew = partial(_renew, app_ctx.app, lease)
    return _renewals.calling(renew, RENEWAL_INTERVAL.total_seconds())


def _renew(app: Flask, lease: JobLease) -> None:
    try:
        with app.app_context():
            lease.renew()
    except LeaseLost:
        pass  # the job finds that out with its next write
    except DBAPIError as error:
        # The lease has some time left, in which the next renewal may succeed.
        log.warning("lease_not_renewed", job_id=str(lease.job_id), error=str(error.orig))
