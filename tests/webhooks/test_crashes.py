"""What a crash or a slow endpoint must not cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.orm import Session

from automart import background
from automart.background import JobState
from automart.background.kinds import Queue
from automart.background.maintenance import MESSAGE_LOST_AFTER, dispatch_lost, requeue_orphans
from automart.background.queues import waiting_ids
from automart.core.db import db, transaction, utcnow
from automart.partners.models import RegionalOffice
from automart.purchases.models import PurchaseState
from automart.webhooks.maintenance import resume_stalled_endpoints
from jobs import runner
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from tests.support.purchases import (
    all_deliveries,
    all_jobs,
    ensure_catalogue,
    make_purchase,
    make_signing_office,
    move,
    sale,
)
from tests.support.webhooks import Run, states

S = PurchaseState


class Killed(BaseException):
    """As good as kill -9 for what is going on: nothing catches this."""


def kill(*_: object) -> None:
    raise Killed


@contextmanager
def killed_after_commit() -> Iterator[None]:
    """The process dies when something is committed for which there is something to do yet."""

    def plan(session: Session) -> None:
        if session.info.get("after_commit"):
            session.info["after_commit"].insert(0, kill)

    event.listen(db.session, "before_commit", plan)
    try:
        with pytest.raises(Killed):
            yield
    finally:
        event.remove(db.session, "before_commit", plan)
    db.session.remove()


class TestKilledInBetween:
    """What was committed is found again, whatever of the rest is lost."""

    def test_between_the_change_and_its_message(
        self, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        purchase = make_purchase(office)
        with killed_after_commit():
            move(purchase, S.CANCELLED)
        self.assert_the_message_is_made_up_for("webhook_delivery", Queue.WEBHOOKS)
        deliver()
        assert states(offices.received()) == ["cancelled"]

    def test_between_a_reported_sale_and_its_message(
        self,
        office: RegionalOffice,
        deliver: Run,
        as_office: Callable[[RegionalOffice], FlaskClient],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        ensure_catalogue()
        client = as_office(office)
        with monkeypatch.context() as patch:
            patch.setattr(background.service, "push", kill)
            with pytest.raises(Killed):
                client.post("/v1/sales-webhook", json=sale("A-1"))
        self.assert_the_message_is_made_up_for("purchase_recording", Queue.SHORT)
        client.post("/v1/sales-webhook", json=sale("A-1"))  # for it has had no answer
        deliver()
        assert len(client.get("/v1/purchases").get_json()["items"]) == 1
        assert {job.state for job in all_jobs("purchase_recording")} == {JobState.SUCCEEDED}

    def assert_the_message_is_made_up_for(self, kind: str, queue: Queue) -> None:
        """Housekeeping does so, as soon as it may take the message for lost."""
        (job,) = all_jobs(kind)
        assert waiting_ids(queue) == set()
        assert dispatch_lost() == 0
        with transaction():
            job.dispatched_at = utcnow() - MESSAGE_LOST_AFTER
        assert dispatch_lost() == 1
        assert waiting_ids(queue) == {job.id}

    def test_between_sending_and_recording(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        monkeypatch: pytest.MonkeyPatch,
        app: Flask,
    ) -> None:
        def killed(*_: object) -> None:
            raise Killed

        move(make_purchase(office), S.CANCELLED)
        with monkeypatch.context() as patched:
            patched.setattr("automart.webhooks.deliveries.record_attempt", killed)
            with pytest.raises(Killed):
                deliver()
        db.session.remove()
        assert len(offices.received()) == 1
        (job,) = all_jobs("webhook_delivery")
        assert job.state is JobState.RUNNING
        with transaction():
            job.lease_until = utcnow() - timedelta(seconds=1)
        assert requeue_orphans() == 1
        deliver()
        first, second = offices.received()
        assert first.webhook_id == second.webhook_id
        (delivery,) = all_deliveries()
        assert [one.status for one in delivery.attempts] == [200]

    def test_a_job_that_was_given_up_has_a_successor(
        self, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        move(make_purchase(office), S.CANCELLED)
        (job,) = all_jobs("webhook_delivery")
        with transaction():
            job.update({"state": JobState.FAILED, "finished_at": utcnow()})
        assert resume_stalled_endpoints() == 1
        deliver()
        assert states(offices.received()) == ["cancelled"]


def test_a_dead_office_costs_the_others_nothing(
    app: Flask, offices: Offices, count_queries: Callable[[], Any], deliver: Run
) -> None:
    """The work for one office does not grow with what another has not taken."""
    lively, secret = make_signing_office(webhook_url=offices.url("lively"))
    offices.trust("lively", secret)
    dead, _ = make_signing_office(webhook_url=offices.url("dead"))
    offices.order(OfficeFault.STATUS, office="dead", status=500)

    def statements() -> int:
        move(make_purchase(lively), S.CANCELLED)
        job = all_jobs("webhook_delivery")[-1]
        with count_queries() as queries:
            runner.run(str(job.id))
        assert offices.received("lively")[-1].status == 200
        return int(queries.count)

    before = statements()
    for _ in range(5):
        make_purchase(dead, S.DELIVERED)
    deliver()
    assert len(offices.received("dead")) == 5
    assert statements() == before
