"""When webhooks are disabled, and what becomes of events in the meantime."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.core.db import transaction, utcnow
from automart.partners import service as partners
from automart.partners.models import RegionalOffice
from automart.purchases.models import PurchaseState
from automart.webhooks.deliveries import Outcome, record_attempt
from automart.webhooks.models import DeliveryState
from automart.webhooks.service import lock_endpoint
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from tests.support.http import assert_problem
from tests.support.logs import logged
from tests.support.peers import Peer
from tests.support.purchases import (
    all_deliveries,
    make_office,
    make_purchase,
    move,
)
from tests.support.webhooks import Run, lose_secret_key, states, stored_office

S = PurchaseState


class TestDisabling:
    def test_gone_disables(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        as_admin: FlaskClient,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        offices.order(OfficeFault.STATUS, status=410)
        for _ in range(2):
            make_purchase(office, S.MANUFACTURED)
        deliver()
        assert not stored_office(office).webhook_enabled
        assert len(offices.received()) == 1
        assert {one.state for one in all_deliveries()} == {DeliveryState.FAILED}
        (event,) = as_admin.get("/v1/audit-events?kind=webhook_disabled").get_json()["items"]
        assert event["subject"] == f"regional_office:{office.id}"
        assert event["actor"] == "webhooks"
        assert event["detail"] == {"reason": "it answered 410 Gone"}
        (line,) = logged(caplog, "webhook_disabled")
        assert (line["endpoint"], line["reason"]) == (event["subject"], "it answered 410 Gone")

    @pytest.mark.parametrize(
        ("answer", "status"),
        [(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", 410), (b"", None)],
    )
    def test_an_old_address_does_not_speak_for_the_new_one(
        self,
        app: Flask,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        answer: bytes,
        status: int | None,
    ) -> None:
        office_id, new_url = office.id, office.webhook_url

        def move_office(url: str | None) -> None:
            with transaction():
                partners.update_office(partners.lock_office(office_id), {"webhook_url": url})

        def moved(peer: Peer, sock: socket.socket) -> None:
            peer.hear(sock)
            with app.app_context():
                move_office(new_url)
            sock.sendall(answer)

        with Peer(moved) as old:
            move_office(f"http://127.0.0.1:{old.port}/")
            move(make_purchase(office), S.CANCELLED)
            deliver()
        assert stored_office(office).endpoint.is_active
        assert stored_office(office).endpoint.failing_since is None
        assert states(offices.received()) == ["cancelled"]
        (delivery,) = all_deliveries()
        assert [one.status for one in delivery.attempts] == [status, 200]

    def test_events_while_disabled_are_kept_and_can_be_delivered(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        as_admin: FlaskClient,
    ) -> None:
        path = f"/v1/regional-offices/{office.id}"
        as_admin.patch(path, json={"webhook_enabled": False})
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (missed,) = all_deliveries()
        assert missed.state is DeliveryState.FAILED
        assert missed.attempts == []
        redeliver = f"/v1/webhook-deliveries/{missed.id}/redeliver"
        url = office.webhook_url
        for changes, why in (({}, "is disabled"), ({"webhook_url": None}, "has no URL")):
            as_admin.patch(path, json=changes)
            problem = assert_problem(as_admin.post(redeliver), 409)
            assert problem["detail"] == f"The webhook of regional office {office.id} {why}."
        as_admin.patch(path, json={"webhook_enabled": True, "webhook_url": url})
        assert as_admin.post(redeliver).status_code == 202
        deliver()
        assert states(offices.received()) == ["cancelled"]

    def test_an_office_that_is_added_with_its_webhook_off_receives_nothing(
        self, offices: Offices, deliver: Run
    ) -> None:
        office = make_office(webhook_url=offices.url("munich"), webhook_enabled=False)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        assert offices.received() == []
        assert [one.state for one in all_deliveries()] == [DeliveryState.FAILED]

    def test_five_days_are_over_at_their_last_moment(self, office: RegionalOffice) -> None:
        move(make_purchase(office), S.CANCELLED)
        (delivery,) = all_deliveries()
        first, five_days = utcnow(), timedelta(days=5)
        moment = timedelta(microseconds=1)
        for after, enabled in ((timedelta(), True), (five_days - moment, True), (five_days, False)):
            with transaction():
                endpoint = lock_endpoint(office.endpoint.id)
                outcome = Outcome(first + after, endpoint.url, status=500)
                record_attempt(endpoint, delivery.id, outcome)
            assert stored_office(office).webhook_enabled is enabled, after

    def test_five_days_of_nothing_but_failures_disable(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        pass_time: Callable[[timedelta], None],
        as_admin: FlaskClient,
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        pass_time(timedelta(days=4, hours=23))
        deliver()
        unchanged = {"webhook_url": office.webhook_url, "webhook_enabled": True}
        as_admin.patch(f"/v1/regional-offices/{office.id}", json=unchanged)
        assert stored_office(office).webhook_enabled
        pass_time(timedelta(hours=2))
        move(make_purchase(office), S.CANCELLED)
        deliver()
        assert not stored_office(office).webhook_enabled
        (event,) = as_admin.get("/v1/audit-events?kind=webhook_disabled").get_json()["items"]
        assert event["detail"] == {"reason": "all attempts of five days failed"}

    def test_our_own_faults_do_not_count(
        self,
        app: Flask,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        pass_time: Callable[[timedelta], None],
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500, times=1)
        make_purchase(office, S.CANCELLED)
        deliver()
        lose_secret_key(app)  # nothing can be signed any more
        for _ in range(3):
            pass_time(timedelta(days=2))
            deliver()
        (delivery,) = all_deliveries()
        assert delivery.state is DeliveryState.PENDING
        assert len(delivery.attempts) == 4
        assert stored_office(office).webhook_enabled

    def test_our_own_fault_starts_no_run_of_failures(
        self, app: Flask, office: RegionalOffice, deliver: Run
    ) -> None:
        lose_secret_key(app)
        make_purchase(office, S.CANCELLED)
        deliver()
        assert len(all_deliveries()[0].attempts) == 1
        assert stored_office(office).endpoint.failing_since is None

    def test_a_success_in_between_begins_the_days_anew(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        pass_time: Callable[[timedelta], None],
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500, times=1)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        pass_time(timedelta(days=4))
        deliver()
        offices.order(OfficeFault.STATUS, status=500, times=1)
        pass_time(timedelta(days=4))
        move(make_purchase(office), S.CANCELLED)
        deliver()
        assert stored_office(office).webhook_enabled
        assert stored_office(office).endpoint.failing_since is not None

    @pytest.mark.parametrize("changes", [{"webhook_url": None}, {"webhook_enabled": False}])
    def test_what_is_on_its_way_fails_when_an_administrator_turns_it_off(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        as_admin: FlaskClient,
        changes: dict[str, Any],
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500)
        make_purchase(office, S.MANUFACTURED)
        deliver()
        as_admin.patch(f"/v1/regional-offices/{office.id}", json=changes)
        deliver()
        assert {one.state for one in all_deliveries()} == {DeliveryState.FAILED}
        assert len(offices.received()) == 1
