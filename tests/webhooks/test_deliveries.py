"""The API of deliveries, and redelivering them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select

from automart.core.db import transaction, utcnow
from automart.partners.models import RegionalOffice
from automart.purchases.models import PurchaseState
from automart.webhooks import deliveries
from automart.webhooks.deliveries import Event, Outcome
from automart.webhooks.models import WebhookDelivery
from automart.webhooks.service import lock_endpoint, update_endpoint
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from tests.support.purchases import (
    all_deliveries,
    make_purchase,
    make_signing_office,
    move,
)
from tests.support.webhooks import Run, endpoint_of, states

S = PurchaseState


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
            "type": "purchase.state_changed",
            "purchase_id": purchase.id,
            "created_at": item["created_at"],
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
        expected = [
            "manufacturing",
            "manufactured",
            "manufacturing",
            "manufacturing",
            "manufactured",
        ]
        assert states(offices.received()) == expected

    def test_so_does_one_that_was_just_being_tried(
        self, office: RegionalOffice, offices: Offices
    ) -> None:
        make_purchase(office, S.MANUFACTURED)
        first, second = all_deliveries()
        with transaction():
            deliveries.record_attempt(
                lock_endpoint(office.endpoint.id), first.id, Outcome(utcnow(), status=200)
            )
        with transaction():
            this = select(WebhookDelivery).where(WebhookDelivery.id == first.id)
            deliveries.redeliver(office.endpoint.id, this)
        with transaction():
            deliveries.record_attempt(
                lock_endpoint(office.endpoint.id), second.id, Outcome(utcnow(), status=500)
            )
        first, second = all_deliveries()
        assert first.next_attempt_at is not None
        assert second.next_attempt_at is None

    def test_endpoints_do_not_affect_each_other(
        self, office: RegionalOffice, offices: Offices
    ) -> None:
        """Their subjects are equal here."""
        other, _ = make_signing_office(webhook_url=offices.url("paris"))
        one, two = (endpoint_of(each).id for each in (office, other))
        event = Event("purchase.state_changed", "purchase:1", "{}")

        def record(endpoint_id: int, delivery: WebhookDelivery, **outcome: Any) -> None:
            with transaction():
                endpoint = lock_endpoint(endpoint_id)
                began = utcnow()
                found = Outcome(began, endpoint.url, answered_at=began, **outcome)
                deliveries.record_attempt(endpoint, delivery.id, found)

        for endpoint_id in (one, one, two, two):
            with transaction():
                deliveries.enqueue_delivery(lock_endpoint(endpoint_id), event)
        due = [delivery.next_attempt_at is not None for delivery in all_deliveries()]
        assert due == [True, False, True, False]
        first, _, third, fourth = all_deliveries()
        assert deliveries.next_due(one) == first
        assert deliveries.next_due(two) == third
        record(one, first, status=429, retry_after=3600.0)
        first, _, third, fourth = all_deliveries()
        assert deliveries.next_attempt_at(one) == first.next_attempt_at
        assert deliveries.next_attempt_at(two) == third.next_attempt_at
        assert first.next_attempt_at > utcnow() >= third.next_attempt_at
        record(two, third, status=200)
        fourth = all_deliveries()[3]  # the first one, of the other endpoint, is still pending
        assert fourth.next_attempt_at <= utcnow()
        record(one, first, status=200)
        with transaction():
            update_endpoint(lock_endpoint(one), {"enabled": False})
        ended = [delivery.state.value for delivery in all_deliveries()]
        assert ended == ["succeeded", "failed", "succeeded", "pending"]

    def test_what_is_not_there_is_not_redelivered(self, as_admin: FlaskClient) -> None:
        assert as_admin.post("/v1/webhook-deliveries/4711/redeliver").status_code == 404
