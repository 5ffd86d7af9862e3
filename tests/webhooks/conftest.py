"""An office of the sandbox that receives webhooks from our own jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from automart.background import Job, JobState
from automart.config import Settings
from automart.db import db, transaction, utcnow
from automart.partners.models import RegionalOffice
from automart.webhooks.models import WebhookDelivery, WebhookEndpoint
from sandbox.office import Offices
from tests.support.purchases import make_signing_office


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Webhooks may go to this machine: the sandbox's offices are there."""
    return replace(settings, webhook_allow_private=True)


@pytest.fixture
def office(app: Flask, offices: Offices) -> RegionalOffice:
    """An office that verifies what it gets."""
    office, secret = make_signing_office(webhook_url=offices.url("munich"))
    offices.trust("munich", secret)
    return office


@pytest.fixture
def pass_time(app: Flask) -> Callable[[timedelta], None]:
    """Lets time pass, as far as what is due and since when offices fail are concerned."""

    def passed(by: timedelta) -> None:
        with transaction():
            for column in (
                WebhookDelivery.next_attempt_at,
                WebhookEndpoint.failing_since,
                Job.due_at,
            ):
                model = column.class_
                for row in db.session.query(model).filter(column.is_not(None)):
                    setattr(row, column.key, getattr(row, column.key) - by)

    return passed


@pytest.fixture
def deliver(run_jobs: Callable[[], None]) -> Callable[[], None]:
    """Delivers what is due, as the worker would."""
    return run_jobs


@pytest.fixture
def until_the_end(app: Flask, run_jobs: Callable[[], None]) -> Callable[[], int]:
    """Tries again and again, as if every pause was over at once. Answers how often."""

    def run() -> int:
        for rounds in range(1, 30):
            run_jobs()
            due = update(WebhookDelivery).where(WebhookDelivery.next_attempt_at.is_not(None))
            jobs = update(Job).where(Job.state == JobState.QUEUED)
            with transaction():
                db.session.execute(due.values(next_attempt_at=utcnow()))
                waiting = db.session.execute(jobs.values(due_at=utcnow())).rowcount  # type: ignore[attr-defined]
            if not waiting:
                return rounds
        raise AssertionError("It does not end.")

    return run


@pytest.fixture(autouse=True)
def _no_due_delivery_is_without_a_job(app: Flask) -> Iterator[None]:
    """Whatever a test did: an endpoint with a pending delivery has an active job."""
    yield
    db.session.rollback()
    pending = db.session.query(WebhookDelivery).filter(WebhookDelivery.next_attempt_at.is_not(None))
    for endpoint_id in {delivery.endpoint_id for delivery in pending}:
        active = db.session.query(Job).filter(
            Job.singleton == f"webhooks:{endpoint_id}",
            Job.state.in_((JobState.QUEUED, JobState.RUNNING)),
        )
        assert active.count() == 1
