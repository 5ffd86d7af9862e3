"""Expiry of deliveries and of retired secrets."""

from __future__ import annotations

from datetime import timedelta

import pytest

from automart.core.db import db, transaction, utcnow
from automart.partners.models import RegionalOffice
from automart.purchases.models import PurchaseState
from automart.webhooks.maintenance import KEPT_FOR, expire_deliveries, expire_secrets
from automart.webhooks.models import (
    DeliveryAttempt,
    DeliveryState,
    WebhookDelivery,
    WebhookSecret,
)
from automart.webhooks.signing import VALID_AFTER_RETIREMENT
from tests.support.purchases import all_deliveries, make_purchase

MOMENT = timedelta(minutes=1)


def test_deliveries_are_deleted_30_days_after_their_end(office: RegionalOffice) -> None:
    for _ in range(3):
        make_purchase(office, state=PurchaseState.MANUFACTURING)
    old, recent, pending = all_deliveries()
    now = utcnow()
    ended = {"state": DeliveryState.SUCCEEDED, "next_attempt_at": None}
    with transaction():
        db.session.add(DeliveryAttempt(delivery_id=old.id, at=now, status=200))
        for delivery in db.session.query(WebhookDelivery):
            delivery.created_at = now - 2 * KEPT_FOR
            if delivery.id == old.id:
                delivery.update({**ended, "ended_at": now - KEPT_FOR - MOMENT})
            elif delivery.id == recent.id:
                delivery.update({**ended, "ended_at": now - KEPT_FOR + MOMENT})
    assert expire_deliveries() == 1
    assert {delivery.id for delivery in all_deliveries()} == {recent.id, pending.id}
    assert db.session.query(DeliveryAttempt).count() == 0


@pytest.mark.usefixtures("office")
def test_retired_secrets_are_deleted_when_they_no_longer_sign() -> None:
    now = utcnow()
    (current,) = db.session.query(WebhookSecret)
    ages = (VALID_AFTER_RETIREMENT - MOMENT, VALID_AFTER_RETIREMENT + MOMENT)
    with transaction():
        for age in ages:
            values = {"endpoint_id": current.endpoint_id, "encrypted": "…"}
            db.session.add(WebhookSecret(**values, retired_at=now - age))
    assert expire_secrets() == 1
    left = {secret.retired_at for secret in db.session.query(WebhookSecret)}
    assert left == {None, now - ages[0]}
