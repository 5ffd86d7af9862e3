"""An office is told of every change, in order, provably; whatever it answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select
from sqlalchemy.orm import Session
from standardwebhooks import Webhook, WebhookVerificationError

from automart.background import JobState
from automart.background.kinds import Queue
from automart.background.queues import waiting_ids
from automart.background.upkeep import MESSAGE_LOST_AFTER, dispatch_lost, requeue_orphans
from automart.db import db, transaction, utcnow
from automart.encryption import encrypt
from automart.purchases import deliveries
from automart.purchases.deliveries import Outcome
from automart.purchases.models import (
    DeliveryState,
    PurchaseState,
    RegionalOffice,
    WebhookDelivery,
    WebhookSecret,
)
from jobs import runner
from sandbox.office import Offices, Received
from sandbox.office_faults import OfficeFault
from tests.support.peers import Peer
from tests.support.purchases import (
    HONDA,
    all_deliveries,
    all_jobs,
    ensure_catalogue,
    make_manufacturer,
    make_office,
    make_purchase,
    make_signing_office,
    move,
    sale,
)

S = PurchaseState
Run = Callable[[], None]
SLACK = timedelta(seconds=5)


def states(received: list[Received]) -> list[str]:
    return [json.loads(one.body)["data"]["state"] for one in received]


def the_office(office: RegionalOffice) -> RegionalOffice:
    db.session.rollback()
    return db.session.get_one(RegionalOffice, office.id, populate_existing=True)


def lose_secret_key(app: Flask) -> None:
    settings = app.extensions["settings"]
    app.extensions["settings"] = replace(settings, secret_key="another one " * 4)


class TestSending:
    def test_a_change_reaches_its_office(
        self, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        purchase = make_purchase(office, order_number="A-1 größer")
        move(purchase, S.MANUFACTURING)
        deliver()
        (got,) = offices.received()
        (delivery,) = all_deliveries()
        assert got.verified
        assert got.headers["content-type"] == "application/json"
        assert got.webhook_id == delivery.webhook_id
        event = json.loads(got.body)
        assert event == {
            "type": "purchase.state_changed",
            "timestamp": event["timestamp"],
            "data": {
                "purchase_id": purchase.id,
                "external_order_number": "A-1 größer",
                "previous_state": "ordered",
                "state": "manufacturing",
            },
        }
        assert event["timestamp"].endswith("Z")
        assert delivery.state is DeliveryState.SUCCEEDED
        assert [(one.status, one.error) for one in delivery.attempts] == [(200, None)]
        (job,) = all_jobs("webhook_delivery")
        assert job.state is JobState.SUCCEEDED

    def test_the_request_that_changed_it_is_told(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        as_manufacturer: Callable[..., FlaskClient],
    ) -> None:
        purchase = make_purchase(office)
        maker = as_manufacturer(make_manufacturer(HONDA))
        path = f"/v1/update-state-webhook/{purchase.id}"
        headers = {"X-Request-ID": "from-the-factory-7"}
        for _ in range(2):
            maker.post(path, json={"state": "manufacturing"}, headers=headers)
        deliver()
        (got,) = offices.received()
        assert got.headers["x-request-id"] == "from-the-factory-7"

    def test_it_is_as_the_document_says(
        self, office: RegionalOffice, offices: Offices, deliver: Run, client: FlaskClient
    ) -> None:
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (got,) = offices.received()
        document = client.get("/openapi.json").get_json()
        webhook = document["webhooks"]["purchase.state_changed"]["post"]
        for header in webhook["parameters"]:
            assert not header["required"] or header["name"] in got.headers

        def schema_at(place: dict[str, Any]) -> dict[str, Any]:
            name = place["$ref"].removeprefix("#/components/schemas/")
            found: dict[str, Any] = document["components"]["schemas"][name]
            return found

        event = json.loads(got.body)
        schema = schema_at(webhook["requestBody"]["content"]["application/json"]["schema"])
        assert set(schema["required"]) == event.keys()
        assert schema["properties"]["type"]["enum"] == [event["type"]]
        assert set(schema_at(schema["properties"]["data"])["required"]) == event["data"].keys()

    def test_an_order_itself_is_no_news_to_the_office(
        self, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        make_purchase(office)
        deliver()
        assert offices.received() == []

    def test_the_changes_of_a_purchase_come_in_their_order(
        self, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        make_purchase(office, S.DELIVERED)
        deliver()
        told = ["manufacturing", "manufactured", "shipped", "delivered"]
        assert states(offices.received()) == told
        assert len({one.webhook_id for one in offices.received()}) == 4

    def test_an_office_without_a_url_is_told_nothing(self, app: Flask, deliver: Run) -> None:
        make_purchase(make_office(), S.DELIVERED)
        assert all_deliveries() == []
        assert all_jobs("webhook_delivery") == []

    def test_both_secrets_sign_after_a_rotation(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        as_admin: FlaskClient,
        pass_time: Callable[[timedelta], None],
    ) -> None:
        path = f"/v1/regional-offices/{office.id}/rotate-webhook-secret"
        first, second = (as_admin.post(path).get_json()["webhook_secret"] for _ in range(2))
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (got,) = offices.received()
        assert got.verified  # by the oldest, which the office still has
        for secret in (first, second):
            Webhook(secret).verify(got.body, got.headers)
        tampered = {
            "body": (got.body.replace(b"cancelled", b"delivered"), got.headers),
            "id": (got.body, got.headers | {"webhook-id": "msg_other"}),
            "time": (
                got.body,
                got.headers | {"webhook-timestamp": str(int(got.headers["webhook-timestamp"]) - 7)},
            ),
        }
        for body, headers in tampered.values():
            with pytest.raises(WebhookVerificationError):
                Webhook(second).verify(body, headers)

    def test_the_old_secret_is_dead_after_a_day(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        as_admin: FlaskClient,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        path = f"/v1/regional-offices/{office.id}/rotate-webhook-secret"
        as_admin.post(path)
        tomorrow = utcnow() + timedelta(hours=24, seconds=1)
        monkeypatch.setattr("automart.purchases.signing.utcnow", lambda: tomorrow)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (got,) = offices.received()
        assert not got.verified
        assert len(got.headers["webhook-signature"].split()) == 1

    def test_a_new_secret_signs_alone_when_secret_key_was_lost(
        self,
        app: Flask,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        as_admin: FlaskClient,
    ) -> None:
        lose_secret_key(app)
        rotated = as_admin.post(f"/v1/regional-offices/{office.id}/rotate-webhook-secret")
        offices.trust("munich", rotated.get_json()["webhook_secret"])
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (got,) = offices.received()
        assert got.verified

    def test_nothing_is_sent_unsigned(
        self, app: Flask, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        move(make_purchase(office), S.CANCELLED)
        lose_secret_key(app)
        deliver()
        (delivery,) = all_deliveries()
        assert [one.error for one in delivery.attempts] == ["There is no secret to sign with."]
        assert delivery.next_attempt_at > utcnow()
        assert offices.received() == []


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
        assert the_office(office).webhook_enabled

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
        assert the_office(office).failing_since is None

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
        told = [json.loads(one.body)["data"] for one in offices.received() if one.status == 200]
        assert [one["purchase_id"] for one in told] == [other.id, other.id]
        waiting = [one for one in all_deliveries() if one.purchase_id == held_up.id]
        assert [one.next_attempt_at is None for one in waiting] == [False, True, True]
        until_the_end()
        told = [json.loads(one.body)["data"] for one in offices.received() if one.status == 200]
        mine = [one["state"] for one in told if one["purchase_id"] == held_up.id]
        assert mine == ["manufacturing", "manufactured", "shipped"]

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

    def test_a_private_address_is_refused_and_told_of(
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
        self, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        with transaction():
            for secret in db.session.query(WebhookSecret):
                secret.sealed = encrypt(b"not base64")
        for _ in range(2):
            move(make_purchase(office), S.CANCELLED)
        deliver()
        for delivery in all_deliveries():
            assert [one.error for one in delivery.attempts] == [
                "This is our fault. It has been logged."
            ]
            assert delivery.next_attempt_at > utcnow()
        assert all_jobs("webhook_delivery")[0].state is JobState.SUCCEEDED


class TestDisabling:
    def test_gone_disables(
        self, office: RegionalOffice, offices: Offices, deliver: Run, as_admin: FlaskClient
    ) -> None:
        offices.order(OfficeFault.STATUS, status=410)
        for _ in range(2):
            make_purchase(office, S.MANUFACTURED)
        deliver()
        assert not the_office(office).webhook_enabled
        assert len(offices.received()) == 1
        assert {one.state for one in all_deliveries()} == {DeliveryState.FAILED}
        (event,) = as_admin.get("/v1/audit-events?kind=webhook_disabled").get_json()["items"]
        assert event["subject"] == f"regional_office:{office.id}"
        assert event["actor"] == "webhooks"

    def test_an_old_address_does_not_speak_for_the_new_one(
        self, app: Flask, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        office_id, new_url = office.id, office.webhook_url

        def move_office(url: str | None) -> None:
            with transaction():
                deliveries.change_office(deliveries.lock_office(office_id), {"webhook_url": url})

        def gone(peer: Peer, sock: socket.socket) -> None:
            peer.hear(sock)
            with app.app_context():
                move_office(new_url)
            sock.sendall(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")

        with Peer(gone) as old:
            move_office(f"http://127.0.0.1:{old.port}/")
            move(make_purchase(office), S.CANCELLED)
            deliver()
        assert the_office(office).can_be_told
        assert the_office(office).failing_since is None
        assert states(offices.received()) == ["cancelled"]
        (delivery,) = all_deliveries()
        assert [one.status for one in delivery.attempts] == [410, 200]

    def test_what_happens_meanwhile_is_kept_and_can_be_delivered(
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
        assert as_admin.post(redeliver).status_code == 409
        as_admin.patch(path, json={"webhook_enabled": True})
        assert as_admin.post(redeliver).status_code == 202
        deliver()
        assert states(offices.received()) == ["cancelled"]

    def test_five_days_of_nothing_but_failures_disable(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        pass_time: Callable[[timedelta], None],
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        pass_time(timedelta(days=4, hours=23))
        deliver()
        assert the_office(office).webhook_enabled
        pass_time(timedelta(hours=2))
        move(make_purchase(office), S.CANCELLED)
        deliver()
        assert not the_office(office).webhook_enabled

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
        assert the_office(office).webhook_enabled
        assert the_office(office).failing_since is not None

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


class TestLookingAtThem:
    def test_an_administrator_sees_every_try(
        self, office: RegionalOffice, offices: Offices, deliver: Run, as_admin: FlaskClient
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500, times=1)
        purchase = make_purchase(office)
        move(purchase, S.CANCELLED)
        deliver()
        (item,) = as_admin.get("/v1/webhook-deliveries").get_json()["items"]
        (attempt,) = item.pop("attempts")
        assert item == {
            "id": item["id"],
            "webhook_id": item["webhook_id"],
            "regional_office_id": office.id,
            "purchase_id": purchase.id,
            "state": "pending",
            "next_attempt_at": item["next_attempt_at"],
        }
        assert attempt.keys() == {"at", "status", "response", "error"}
        assert attempt["status"] == 500
        assert isinstance(attempt["response"], str)
        assert attempt["error"] is None
        path = f"/v1/webhook-deliveries/{item['id']}"
        assert as_admin.get(path).get_json() == item | {"attempts": [attempt]}

    def test_they_are_filtered(
        self, office: RegionalOffice, offices: Offices, deliver: Run, as_admin: FlaskClient
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500, times=1)
        for _ in range(2):
            move(make_purchase(office), S.CANCELLED)
        deliver()

        def count(query: str) -> int:
            answer = as_admin.get(f"/v1/webhook-deliveries?{query}").get_json()
            return len(answer["items"])

        assert count("") == 2
        assert count("state=pending") == count("state=succeeded") == 1
        assert count(f"regional_office_id={office.id}&state=succeeded") == 1
        assert count("regional_office_id=4711") == count("state=failed") == 0

    def test_a_list_needs_no_query_for_each(
        self,
        office: RegionalOffice,
        deliver: Run,
        as_admin: FlaskClient,
        count_queries: Callable[[], Any],
    ) -> None:
        make_purchase(office, S.DELIVERED)
        deliver()
        as_admin.get("/v1/webhook-deliveries")
        with count_queries() as few:
            as_admin.get("/v1/webhook-deliveries?limit=1")
        with count_queries() as many:
            as_admin.get("/v1/webhook-deliveries")
        assert many.count == few.count


class TestRedelivery:
    def test_a_delivery_is_repeated_under_its_id(
        self, office: RegionalOffice, offices: Offices, deliver: Run, as_admin: FlaskClient
    ) -> None:
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (delivery,) = all_deliveries()
        accepted = as_admin.post(f"/v1/webhook-deliveries/{delivery.id}/redeliver")
        assert accepted.status_code == 202
        assert accepted.get_json()["kind"] == "webhook_delivery"
        deliver()
        assert as_admin.get(accepted.headers["Location"]).get_json()["state"] == "succeeded"
        (delivery,) = all_deliveries()
        assert [one.status for one in delivery.attempts] == [200, 200]
        first, second = offices.received()
        assert first.webhook_id == second.webhook_id
        assert first.body == second.body

    def test_one_that_waits_is_tried_at_once(
        self, office: RegionalOffice, offices: Offices, deliver: Run, as_admin: FlaskClient
    ) -> None:
        offices.order(OfficeFault.STATUS, status=500, times=1)
        make_purchase(office, S.MANUFACTURED)
        deliver()
        first, second = all_deliveries()
        assert as_admin.post(f"/v1/webhook-deliveries/{second.id}/redeliver").status_code == 202
        deliver()
        assert len(offices.received()) == 1  # it waits for the one before it
        as_admin.post(f"/v1/webhook-deliveries/{first.id}/redeliver")
        deliver()
        assert states(offices.received()) == ["manufacturing", "manufacturing", "manufactured"]

    def test_later_changes_wait_for_one_that_is_ordered_again(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        as_admin: FlaskClient,
        pass_time: Callable[[timedelta], None],
    ) -> None:
        purchase = make_purchase(office, S.MANUFACTURING)
        deliver()
        offices.order(OfficeFault.STATUS, status=500, times=2)
        move(purchase, S.MANUFACTURED)
        deliver()  # in vain: it has a time of its own now
        first, second = all_deliveries()
        as_admin.post(f"/v1/webhook-deliveries/{first.id}/redeliver")
        _, second = all_deliveries()
        assert second.next_attempt_at is None
        deliver()  # in vain
        pass_time(timedelta(seconds=6))
        deliver()
        told = ["manufacturing", "manufactured", "manufacturing", "manufacturing", "manufactured"]
        assert states(offices.received()) == told

    def test_so_does_one_that_was_just_being_tried(
        self, office: RegionalOffice, offices: Offices
    ) -> None:
        make_purchase(office, S.MANUFACTURED)
        first, second = all_deliveries()
        with transaction():
            deliveries.record(
                deliveries.lock_office(office.id), first.id, Outcome(utcnow(), status=200)
            )
        with transaction():
            this = select(WebhookDelivery).where(WebhookDelivery.id == first.id)
            deliveries.redeliver(office.id, this)
        with transaction():
            deliveries.record(
                deliveries.lock_office(office.id), second.id, Outcome(utcnow(), status=500)
            )
        first, second = all_deliveries()
        assert first.next_attempt_at is not None
        assert second.next_attempt_at is None

    def test_what_is_not_there_is_not_redelivered(self, as_admin: FlaskClient) -> None:
        assert as_admin.post("/v1/webhook-deliveries/4711/redeliver").status_code == 404


class Killed(BaseException):
    """As good as kill -9 for what is going on: nothing catches this."""


@contextmanager
def killed_after_commit() -> Iterator[None]:
    """The process dies when something is committed for which there is something to do yet."""

    def kill() -> None:
        raise Killed

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
    ) -> None:
        ensure_catalogue()
        client = as_office(office)
        with killed_after_commit():
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
            patched.setattr("automart.purchases.deliveries.record", killed)
            with pytest.raises(Killed):
                deliver()
        db.session.remove()
        assert len(offices.received()) == 1
        (job,) = all_jobs("webhook_delivery")
        assert job.state is JobState.RUNNING
        job.lease_until = utcnow() - timedelta(seconds=1)
        db.session.commit()
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
        job.update({"state": JobState.FAILED, "finished_at": utcnow()})
        db.session.commit()
        assert deliveries.resume_forgotten() == 1
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
