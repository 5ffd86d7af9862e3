"""What a running job holds: its claim, kept up by a timer, and the word that it should stop."""

from __future__ import annotations

import threading
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
    """Raised by a long job that heeds `Run.stopping`: it is queued again as it stands."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a job's function is given besides its arguments.

    The function ends `claim` in its last transaction, and heeds `stopping` if it takes long.
    """

    claim: JobLease
    stopping: threading.Event


@contextmanager
def renewed(claim: JobLease) -> Iterator[None]:
    """Renew the lease of `claim` from a thread, for as long as this process lives and works."""
    ended = threading.Event()
    app = app_ctx.app
    timer = threading.Thread(target=_renew, args=(app, claim, ended), name="lease", daemon=True)
    timer.start()
    try:
        yield
    finally:
        ended.set()


def _renew(app: Flask, claim: JobLease, ended: threading.Event) -> None:
    while not ended.wait(RENEWAL_INTERVAL.total_seconds()):
        try:
            with app.app_context():
                claim.renew()
        except LeaseLost:
            return
        except DBAPIError as error:
            # The lease has some time left, and the next renewal may find the database again.
            log.warning("lease_not_renewed", job_id=str(claim.job_id), error=str(error.orig))
