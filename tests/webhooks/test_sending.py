"""What an endpoint receives: which events, in which order, signed by which secrets."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from standardwebhooks import Webhook, WebhookVerificationError

from automart.background import JobState
from automart.core.db import db, transaction, utcnow
from automart.partners.models import RegionalOffice
from automart.purchases.models import Purchase, PurchaseChange, PurchaseState
from automart.webhooks import deliveries
from automart.webhooks.deliveries import Outcome
from automart.webhooks.models import DeliveryState, WebhookDelivery
from automart.webhooks.signing import valid_secrets
from jobs.webhooks import _attempt
from sandbox.office import Offices
from tests.support.logs import logged
from tests.support.purchases import (
    HONDA,
    all_deliveries,
    all_jobs,
    make_manufacturer,
    make_office,
    make_purchase,
    make_signing_office,
    move,
)
from tests.support.webhooks import Run, endpoint_of, lose_secret_key, states

S = PurchaseState


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
        assert (job.state, job.owner) == (JobState.SUCCEEDED, "webhooks")
        assert job.result == {"regional_office_id": office.id}

    def test_the_id_of_the_request_that_changed_the_state_is_sent(
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
        expected = ["manufacturing", "manufactured", "shipped", "delivered"]
        assert states(offices.received()) == expected
        assert len({one.webhook_id for one in offices.received()}) == 4

    def test_what_has_been_due_for_longest_comes_first(
        self, office: RegionalOffice, offices: Offices, deliver: Run
    ) -> None:
        for state in (S.CANCELLED, S.MANUFACTURING):
            move(make_purchase(office), state)
        with transaction():
            first, second = db.session.query(WebhookDelivery).order_by(WebhookDelivery.id)
            second.next_attempt_at = first.next_attempt_at - timedelta(seconds=1)
        deliver()
        assert states(offices.received()) == ["manufacturing", "cancelled"]

    def test_an_office_without_a_url_receives_nothing(self, app: Flask, deliver: Run) -> None:
        make_purchase(make_office(), S.DELIVERED)
        assert all_deliveries() == []
        assert all_jobs("webhook_delivery") == []

    def test_an_event_stays_as_it_was(
        self, office: RegionalOffice, offices: Offices, deliver: Run, as_admin: FlaskClient
    ) -> None:
        purchase = make_purchase(office, order_number="A-1")
        move(purchase, S.CANCELLED)
        deliver()
        with transaction():
            db.session.execute(update(Purchase).values(external_order_number="B-2"))
            db.session.execute(update(PurchaseChange).values(at=utcnow()))
        (delivery,) = all_deliveries()
        as_admin.post(f"/v1/webhook-deliveries/{delivery.id}/redeliver")
        deliver()
        first, second = offices.received()
        assert first.body == second.body == delivery.body.encode()

    def test_later_changes_have_later_times_whatever_the_clock_says(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        purchase = make_purchase(office, S.MANUFACTURING)
        slow = utcnow() - timedelta(minutes=5)
        monkeypatch.setattr("automart.purchases.service.utcnow", lambda: slow)
        move(purchase, S.MANUFACTURED)
        move(purchase, S.SHIPPED)
        deliver()
        times = [json.loads(one.body)["timestamp"] for one in offices.received()]
        assert times == sorted(set(times))
        assert len(times) == 3

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
        events = as_admin.get("/v1/audit-events?kind=webhook_secret_rotated").get_json()["items"]
        assert [event["subject"] for event in events] == [f"regional_office:{office.id}"] * 2
        make_signing_office()
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (got,) = offices.received()
        assert got.verified  # by the oldest, which the office still has
        for secret in (first, second):
            Webhook(secret).verify(got.body, got.headers)
        *_, oldest = signatures = got.headers["webhook-signature"].split()
        assert len(signatures) == 3  # none by the secret of another office
        for secret, signature in ((second, signatures[0]), (first, signatures[1])):
            Webhook(secret).verify(got.body, got.headers | {"webhook-signature": signature})
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(got.body, got.headers | {"webhook-signature": oldest})
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
        other, secret = make_signing_office()
        now = utcnow()

        def clock(hours: int) -> None:
            later = now + timedelta(hours=hours, minutes=1)
            monkeypatch.setattr("automart.webhooks.signing.utcnow", lambda: later)

        clock(0)
        as_admin.post(path)
        clock(12)
        newest = as_admin.post(path).get_json()["webhook_secret"]
        clock(24)  # the second secret has been retired for 12 hours
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (got,) = offices.received()
        assert not got.verified
        assert len(got.headers["webhook-signature"].split()) == 2
        clock(36)
        assert [valid_secrets(endpoint_of(each).id) for each in (office, other)] == [
            [newest],
            [secret],
        ]

    def test_a_new_secret_signs_alone_when_secret_key_was_lost(
        self,
        app: Flask,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        as_admin: FlaskClient,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        lose_secret_key(app)
        rotated = as_admin.post(f"/v1/regional-offices/{office.id}/rotate-webhook-secret")
        offices.trust("munich", rotated.get_json()["webhook_secret"])
        move(make_purchase(office), S.CANCELLED)
        deliver()
        (got,) = offices.received()
        assert got.verified
        (event,) = logged(caplog, "webhook_secret_encrypted_under_another_secret")
        assert event["endpoint_id"] == endpoint_of(office).id
        assert event["error"].startswith("SECRET_KEY has changed.")

    def test_a_delivery_that_is_due_at_the_last_moment_is_sent_by_the_same_job(
        self,
        office: RegionalOffice,
        offices: Offices,
        deliver: Run,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        next_due, looks = deliveries.next_due, itertools.count()

        def not_at_the_first_look(endpoint_id: int) -> WebhookDelivery | None:
            return next_due(endpoint_id) if next(looks) else None

        monkeypatch.setattr(deliveries, "next_due", not_at_the_first_look)
        move(make_purchase(office), S.CANCELLED)
        deliver()
        assert states(offices.received()) == ["cancelled"]
        (job,) = all_jobs("webhook_delivery")
        assert job.state is JobState.SUCCEEDED

    def test_nothing_is_sent_when_the_url_is_removed_at_the_last_moment(
        self, office: RegionalOffice
    ) -> None:
        move(make_purchase(office), S.CANCELLED)
        (delivery,) = all_deliveries()
        with transaction():
            endpoint_of(office).url = None
        outcome = _attempt(delivery)
        error = "The webhook no longer has a URL."
        assert outcome == Outcome(outcome.at, error=error, is_our_fault=True)
        assert outcome.at <= utcnow()

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


def test_each_event_is_logged_with_the_id_of_its_own_request(
    office: RegionalOffice, deliver: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """One job sends the events of many requests."""
    ids = ("the-first", "another")
    for request_id in ids:
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            make_purchase(office, state=S.MANUFACTURING)
    deliver()
    events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    sent = [event["request_id"] for event in events if event["event"] == "webhook_sent"]
    assert sent == list(ids)
    for line, delivery in zip(logged(caplog, "webhook_sent"), all_deliveries(), strict=True):
        assert (line["webhook_id"], line["endpoint"]) == (
            delivery.webhook_id,
            f"regional_office:{office.id}",
        )
        assert (line["status"], line["error"]) == (200, None)
