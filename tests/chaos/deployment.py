"""A running deployment, and a client that repeats what got no response."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import requests
from flask import Flask
from sqlalchemy import select

from automart.accounts.models import Client, User
from automart.background import Job
from automart.cli import doctor
from automart.cli.findings import Grade
from automart.core.config import Settings
from automart.core.db import db, release_connection
from automart.partners.models import RegionalOffice
from sandbox.office import Offices
from sandbox.vpic import Vpic
from tests.support.inventory import HONDA
from tests.support.limits import LIMIT
from tests.support.notified import NotifiedService
from tests.support.people import make_user, token_of
from tests.support.processes import WorkerProcesses, until, worker_running
from tests.support.purchases import (
    client_of,
    ensure_catalogue,
    make_manufacturer,
    make_signing_office,
)
from tests.support.web import gunicorn_running

OFFICE = "office"
MOST_TRIES = 20


@dataclass(frozen=True)
class Deployment:
    """Web, worker and all that they use, on one machine."""

    app: Flask
    settings: Settings
    url: str
    worker: WorkerProcesses
    vpic: Vpic
    offices: Offices
    notified: NotifiedService
    office: RegionalOffice
    tokens: dict[str, str]

    def send(self, who: str, method: str, path: str, **body: Any) -> requests.Response:
        """Send a request once, over a new connection."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}", **body.pop("headers", {})}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, headers=headers, timeout=LIMIT, **body)

    def insist(
        self, who: str, method: str, path: str, *, has_key: bool = True, **body: Any
    ) -> requests.Response:
        """Send a request, and again while there is no response. With a key, that is one request."""
        key = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" and has_key else {}
        for _ in range(MOST_TRIES):
            try:
                return self.send(who, method, path, headers=key, **body)
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError(f"No response to {method} {path}.")

    def check_health(self) -> None:
        """Check that `automart doctor` finds nothing wrong, soon."""
        until(lambda: not self._complaints())

    def _complaints(self) -> list[str]:
        release_connection()  # doctor accesses the storage, which no transaction may wait for
        findings = list(doctor.examine(self.app, self.settings))
        return [str(finding) for finding in findings if finding.grade is Grade.BAD]


def wait_for_jobs() -> None:
    """Wait until all jobs have ended. If they do not, name the others."""
    try:
        until(lambda: not _unended_jobs())
    except AssertionError:
        raise AssertionError(f"These jobs have not ended: {_unended_jobs()}") from None


def _unended_jobs() -> list[str]:
    db.session.rollback()  # on SQLite, an earlier read has kept an older state
    found = db.session.scalars(
        select(Job).where(Job.finished_at.is_(None)).execution_options(populate_existing=True)
    )
    unended = [
        f"{job.kind} {job.id} {job.state}, attempts {job.attempts}, due {job.due_at}, "
        f"lease until {job.lease_until}"
        for job in found
    ]
    release_connection()
    return unended


@contextmanager
def deployed(
    app: Flask,
    settings: Settings,
    *,
    vpic: Vpic,
    offices: Offices,
    notified: NotifiedService,
    office_url: str | None = None,
    patch: str = "",
) -> Iterator[Deployment]:
    """Start web and worker on an empty database, in the application context of `app`.

    The settings of `app` may differ from `settings` in the way to database, Redis and vPIC.
    """
    with ExitStack() as stack:
        worker = stack.enter_context(worker_running(settings, patch=patch))
        ensure_catalogue()
        office, secret = make_signing_office(webhook_url=office_url or offices.url(OFFICE))
        offices.trust(OFFICE, secret)
        people: dict[str, User | Client] = {
            "person": make_user(is_admin=True),
            "office": client_of(office),
            "maker": client_of(make_manufacturer(HONDA)),
        }
        options = ("--workers", "2", "--threads", "16")
        web = stack.enter_context(gunicorn_running(settings, *options, patch=patch))
        yield Deployment(
            app=app,
            settings=settings,
            url=web.url,
            worker=worker,
            vpic=vpic,
            offices=offices,
            notified=notified,
            office=office,
            tokens={name: token_of(app, who) for name, who in people.items()},
        )


def settings_of_chaos(settings: Settings, notified: NotifiedService) -> Settings:
    return replace(settings, notify_urls=(notified.url,), webhook_allow_private=True)
