"""Fixtures of tests of notices: services that receive them, and nightly syncs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask

from automart.background import Job
from automart.catalogue.service import SCHEDULER, start_sync
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.notices.maintenance import record_notices
from sandbox.vpic import Vpic
from tests.support.notified import NotifiedService, notified_service
from tests.support.sync import Models, catalogue_of

Night = Callable[[Models], Job]


@pytest.fixture
def mail() -> Iterator[NotifiedService]:
    with notified_service() as service:
        yield service


@pytest.fixture
def chat() -> Iterator[NotifiedService]:
    with notified_service() as service:
        yield service


@pytest.fixture
def settings(settings: Settings, mail: NotifiedService, chat: NotifiedService) -> Settings:
    return replace(settings, notify_urls=(mail.url, chat.url))


@pytest.fixture
def night(app: Flask, vpic: Vpic, run_jobs: Callable[[], None]) -> Night:
    """A function that runs the nightly sync against these models, and sends its notices."""

    def run(served: Models) -> Job:
        vpic.serve(catalogue_of(served))
        with transaction():
            job = start_sync(None, approve_deletions=False, owner=SCHEDULER)
        run_jobs()
        record_notices()
        run_jobs()
        return db.session.get_one(Job, job.id)

    return run
