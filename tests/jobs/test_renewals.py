"""The thread that renews the leases of running jobs."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, current_app
from sqlalchemy.exc import OperationalError

from automart.background.leases import LeaseLost
from jobs import context
from jobs.periodic import Periodic
from tests.support.databases import on_sqlite
from tests.support.logs import logged
from tests.support.processes import until

pytestmark = on_sqlite


class Lease:
    """Raises these errors when it is renewed, one after the other. `done` is set after them."""

    def __init__(self, *errors: Exception) -> None:
        self.job_id = uuid.uuid4()
        self.done = threading.Event()
        self._errors = list(errors)

    def renew(self) -> None:
        assert current_app
        if self._errors:
            raise self._errors.pop(0)
        self.done.set()


def test_leases_are_renewed_while_their_jobs_run(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    renewals = Periodic("lease")
    monkeypatch.setattr(context, "_renewals", renewals)
    monkeypatch.setattr(context, "RENEWAL_INTERVAL", timedelta(milliseconds=1))
    first: Any = Lease(OperationalError("", {}, Exception("no connection")), LeaseLost())
    for lease in (first, Lease()):
        with context.renewed(lease):
            assert lease.done.wait(60)
            thread = renewals._thread
            assert thread is not None
            assert (thread.name, thread.daemon) == ("lease", True)
        until(lambda: renewals._thread is None)  # the thread ends when no job runs
        lease.done.clear()
    (line,) = logged(caplog, "lease_not_renewed")
    assert (line["job_id"], line["error"]) == (str(first.job_id), "no connection")
    assert not first.done.is_set()
