"""Failed attempts: when the next one is due, and when a delivery is given up."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from automart.background import JobState
from automart.core.db import db, transaction, utcnow
from automart.core.encryption import encrypt
from automart.partners.models import RegionalOffice
from automart.purchases.models import PurchaseState
from automart.webhooks import deliveries
from automart.webhooks.deliveries import Outcome, record_attempt
from automart.webhooks.models import DeliveryState, WebhookSecret
from automart.webhooks.service import lock_endpoint
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from tests.support.logs import logged
from tests.support.purchases import (
    all_deliveries,
    all_jobs,
    make_purchase,
    make_signing_office,
    move,
)
from tests.support.webhooks import Run, stored_office

S = PurchaseState
SLACK = timedelta(seconds=5)


class TestFailing:
    def test_it_is_tried_ten_times_with_growing_pauses(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        pass_time: Callable[[timedelta], None],
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500)
        move(make_purchase(office), S.CANCELLED)
        for pause in deliveries.PAUSES:
            deliver()
            (delivery,) = all_deliveries()
            left = delivery.next_attempt_at - utcnow()
            assert pause - SLACK <= left <= pause * (1 + deliveries.JITTER)
            pass_time(left - SLACK)
            if pause > SLACK * 2:
                deliver()
                assert len(all_deliveries()[0].attempts) == len(delivery.attempts)
            pass_time(SLACK)
        deliver()
        (delivery,) = all_deliveries()
        assert delivery.state is DeliveryState.FAILED
        assert [one.status for one in delivery.attempts] == [500] * 10
        assert {one.webhook_id for one in offices.received()} == {delivery.webhook_id}
        assert len(offices.received()) == 10
        assert stored_office(office).webhook_enabled

    def test_jitter_keeps_failures_apart(
        self, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500)
        for _ in range(4):
            move(make_purchase(office), S.CANCELLED)
        deliver()
        pauses = {one.next_attempt_at - one.attempts[0].at for one in all_deliveries()}
        assert len(pauses) == 4

    def test_it_goes_on_when_the_office_is_back(
        self, office: RegionalOffice, offices: Offices, until_the_end: Callable[[], int]
    ) -> None:
        offices.order(OfficeFault.STATUS, status=503, times=3)
        move(make_purchase(office), S.CANCELLED)
        until_the_end()
        (delivery,) = all_deliveries()
        assert delivery.state is DeliveryState.SUCCEEDED
        assert [one.status for one in delivery.attempts] == [503, 503, 503, 200]
        assert stored_office(office).endpoint.failing_since is None

    @pytest.mark.parametrize(
        ("fault", "options", "status"),
        [
            (OfficeFault.STATUS, {"status": 400}, 400),
            (OfficeFault.STATUS, {"status": 404}, 404),
            (OfficeFault.REDIRECT, {"status": 302}, 302),
            (OfficeFault.REDIRECT, {"status": 307}, 307),
            (OfficeFault.DISCONNECT, {}, None),
            (OfficeFault.NO_HTTP, {}, None),
        ],
    )
    def test_only_2xx_counts(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        fault: OfficeFault,
        options: dict[str, Any],
        status: int | None,
    ) -> None:
        offices.order(fault, **options)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (delivery,) = all_deliveries()
        (attempt,) = delivery.attempts
        assert attempt.status == status
        assert (attempt.error is None) == (status is not None)
        assert delivery.state is DeliveryState.PENDING
        assert len(offices.received()) == 1
        *_, job = all_jobs("webhook_delivery")
        assert (job.state, job.due_at) == (JobState.QUEUED, delivery.next_attempt_at)

    @pytest.mark.parametrize("status", [429, 503])
    def test_an_office_may_ask_for_a_longer_pause(
        self, office: RegionalOffice, offices: Offices, deliver: Run, status: int
    ) -> None:
        offices.order(OfficeFault.STATUS, status=status, retry_after=3600)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (delivery,) = all_deliveries()
        pause = delivery.next_attempt_at - delivery.attempts[0].at
        assert timedelta(seconds=3600) <= pause <= timedelta(seconds=3601)

    def test_it_is_counted_from_the_response(self, office: RegionalOffice) -> None:
        make_purchase(office, S.CANCELLED)
        (delivery,) = all_deliveries()
        began, answered = utcnow(), utcnow() + timedelta(seconds=9)
        outcome = Outcome(
            began, office.webhook_url, status=429, answered_at=answered, retry_after=30.0
        )
        with transaction():
            record_attempt(lock_endpoint(office.endpoint.id), delivery.id, outcome)
        (delivery,) = all_deliveries()
        assert delivery.next_attempt_at == answered + timedelta(seconds=30)

    def test_so_it_is_by_the_clock_of_the_job(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        minutes, now = itertools.count(), utcnow()
        monkeypatch.setattr("jobs.webhooks.utcnow", lambda: now + timedelta(minutes=next(minutes)))
        offices.order(OfficeFault.STATUS, status=429, retry_after=3600)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (delivery,) = all_deliveries()
        assert delivery.attempts[0].at == now
        assert delivery.next_attempt_at == now + timedelta(minutes=61)

    @pytest.mark.parametrize(("status", "received"), [(429, 1), (503, 1), (500, 3)])
    def test_who_sends_all_away_is_left_alone(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        pass_time: Callable[[timedelta], None],
        status: int,
        received: int,
    ) -> None:
        offices.order(OfficeFault.STATUS, status=status, retry_after=3600, times=received)
        for _ in range(3):
            move(make_purchase(office), S.CANCELLED)
        deliver()
        assert len(offices.received()) == received
        for delivery in all_deliveries():
            assert delivery.next_attempt_at - utcnow() > timedelta(minutes=59)
        pass_time(timedelta(hours=1))
        deliver()
        assert {one.state for one in all_deliveries()} == {DeliveryState.SUCCEEDED}
        assert sum(len(one.attempts) for one in all_deliveries()) == received + 3

    def test_it_may_not_ask_for_an_endless_one(
        self, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        offices.order(OfficeFault.STATUS, status=503, retry_after=10**9)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (delivery,) = all_deliveries()
        assert delivery.next_attempt_at - utcnow() <= timedelta(hours=24)

    def test_a_failing_change_holds_up_its_own_purchase_alone(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        until_the_end: Callable[[], int],
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500, times=1)
        held_up = make_purchase(office, S.SHIPPED)
        other = make_purchase(office, S.MANUFACTURED)
        deliver()
        received = [json.loads(one.body)["data"] for one in offices.received() if one.status == 200]
        assert [one["purchase_id"] for one in received] == [other.id, other.id]
        waiting = [one for one in all_deliveries() if one.subject == f"purchase:{held_up.id}"]
        assert [one.next_attempt_at is None for one in waiting] == [False, True, True]
        until_the_end()
        received = [json.loads(one.body)["data"] for one in offices.received() if one.status == 200]
        states = [one["state"] for one in received if one["purchase_id"] == held_up.id]
        assert states == ["manufacturing", "manufactured", "shipped"]

    def test_the_next_change_comes_when_one_is_given_up(
        self, office: RegionalOffice, offices: Offices, until_the_end: Callable[[], int]
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500, times=10)
        make_purchase(office, S.MANUFACTURED)
        until_the_end()
        assert [one.state for one in all_deliveries()] == [
            DeliveryState.FAILED,
            DeliveryState.SUCCEEDED,
        ]

    def test_a_private_address_is_refused_and_logged(
        self, app: Flask, offices: Offices, deliver: Run
    ) -> None:
        settings = app.extensions["settings"]
        app.extensions["settings"] = type(settings)(
            **{**vars(settings), "webhook_allow_private": False}
        )
        office, _ = make_signing_office(webhook_url=offices.url("munich"))
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (delivery,) = all_deliveries()
        assert "127.0.0.1" in delivery.attempts[0].error
        assert offices.received() == []

    def test_what_nobody_thought_of_is_a_failed_try_and_no_end(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with transaction():
            for secret in db.session.query(WebhookSecret):
                secret.encrypted = encrypt(b"not base64")
        for _ in range(2):
            move(make_purchase(office), S.CANCELLED)
        deliver()
        for delivery in all_deliveries():
            assert [one.error for one in delivery.attempts] == [
                "Internal error. It has been logged."
            ]
            assert delivery.next_attempt_at > utcnow()
        assert all_jobs("webhook_delivery")[0].state is JobState.SUCCEEDED
        assert stored_office(office).endpoint.failing_since is None
        sent = [(line["status"], line["error"]) for line in logged(caplog, "webhook_sent")]
        assert sent == [(None, "Internal error. It has been logged.")] * 2
        ids = [line["webhook_id"] for line in logged(caplog, "webhook_not_sent")]
        assert ids == [delivery.webhook_id for delivery in all_deliveries()]
