"""Purchases go through their states: every change reaches its office, in order, provably."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select

from automart.background import JobState
from automart.db import db, end_read, transaction
from automart.purchases.models import Purchase, PurchaseChange, PurchaseState
from automart.webhooks import deliveries
from automart.webhooks.models import DeliveryState, WebhookDelivery
from sandbox.office import Received
from tests.support.processes import until
from tests.support.purchases import PATHS, all_deliveries, all_jobs
from tests.support.storm.house import House

S = PurchaseState
DELIVERY = "webhook_delivery"
Path = list[PurchaseState]
Change = tuple[int, str, str]
"""A purchase's id, its state before and its state after."""

WAYS = [PATHS[state] for state in (S.DELIVERED, S.SHIPPED, S.MANUFACTURED, S.CANCELLED)]
WAYS.append([S.MANUFACTURING, S.CANCELLED])
# The pause after a first failure is seconds, after a second one minutes: an administrator helps.
PATIENT_FOR_TRIES = 1


class Changes:
    """Purchases that are ordered, to go their ways: each reported by one to three of the
    manufacturer's machines at the same time."""

    def __init__(self, house: House, purchase_ids: Sequence[int]) -> None:
        self._house = house
        self._paths = {ident: house.random.choice(WAYS) for ident in purchase_ids}
        self._changes = _changes(self._paths)
        self._redelivered = 0
        self.calls = [
            partial(_walk, house, ident, path)
            for ident, path in self._paths.items()
            for _ in range(house.random.randint(1, 3))
        ]
        self.expected = len(self._changes)

    def count_done(self) -> int:
        """How many changes were told; what would have to wait long is hurried up."""
        self._redelivered += _redeliver_delayed()
        told = select(func.count(WebhookDelivery.id))
        count = db.session.scalar(told.where(WebhookDelivery.state == DeliveryState.SUCCEEDED)) or 0
        end_read()
        return count

    def check(self, answers: Sequence[int]) -> Counter[str]:
        """All is stored as it was reported, and as it was reported it has come to the offices."""
        # The job may be about to end that has delivered the last.
        until(lambda: all(job.state.has_ended for job in all_jobs(DELIVERY)))
        received = self._house.offices.received()
        _check_stored(self._paths)
        _check_received(self._house, self._changes, received)
        return Counter(
            {
                "purchases moved": len(self._paths),
                "changes": self.expected,
                "changes reported": sum(answers),
                "webhooks received": len(received),
                "webhooks received again": len(received) - self.expected,
                "webhooks not taken": sum(one.status != 200 for one in received),
                "tries recorded": sum(len(one.attempts) for one in all_deliveries()),
                "deliveries hurried up": self._redelivered,
                "jobs of deliveries": len(all_jobs(DELIVERY)),
            }
        )


def _changes(paths: Mapping[int, Path]) -> list[Change]:
    return [
        (ident, before.value, after.value)
        for ident, path in paths.items()
        for before, after in zip([S.ORDERED, *path], path, strict=False)
    ]


def _walk(house: House, purchase_id: int, path: Path) -> int:
    """Report every state in its turn. Somebody else may be ahead with the same. How many."""
    for state in path:
        answer = house.senders.post(
            f"/v1/update-state-webhook/{purchase_id}", house.maker.token, {"state": state}
        )
        assert answer.status_code in (200, 409), answer.text
    return len(path)


def _redeliver_delayed() -> int:
    """Do what an administrator would who does not want to wait for minutes. How many."""
    delayed = select(WebhookDelivery).where(
        WebhookDelivery.state == DeliveryState.PENDING, WebhookDelivery.tries > PATIENT_FOR_TRIES
    )
    counts = delayed.with_only_columns(WebhookDelivery.endpoint_id, func.count())
    found = db.session.execute(counts.group_by(WebhookDelivery.endpoint_id)).all()
    end_read()
    for endpoint_id, _ in found:
        with transaction():
            deliveries.redeliver(endpoint_id, delayed)
    return sum(count for _, count in found)


def _check_stored(paths: Mapping[int, Path]) -> None:
    """Each purchase has gone its way and no other; each change was delivered, by good jobs."""
    changes = db.session.query(PurchaseChange).order_by(PurchaseChange.id)
    stored = defaultdict(list)
    for change in changes.where(PurchaseChange.purchase_id.in_(paths)):
        stored[change.purchase_id].append(change.state)
    assert stored == {ident: [S.ORDERED, *path] for ident, path in paths.items()}
    expected = sum(map(len, paths.values()))
    assert Counter(one.state for one in all_deliveries()) == {DeliveryState.SUCCEEDED: expected}
    assert {job.state for job in all_jobs(DELIVERY)} == {JobState.SUCCEEDED}


def _check_received(house: House, changes: Sequence[Change], received: Sequence[Received]) -> None:
    """Every change came to its office under an id of its own, after the one before it, signed."""
    assert {(one.verified, one.reason) for one in received} == {(True, "")}
    bodies = {one.webhook_id: one.body for one in received}
    assert all(bodies[one.webhook_id] == one.body for one in received)
    assert len(bodies) == len(changes)
    events = {ident: json.loads(body) for ident, body in bodies.items()}
    assert {event["type"] for event in events.values()} == {"purchase.state_changed"}
    assert sorted(map(_change_in, events.values())) == sorted(changes)
    check_order(changes, [(_change_in(events[one.webhook_id]), one.status) for one in received])
    taken = {one.webhook_id for one in received if one.status == 200}
    assert taken == bodies.keys()
    homes = {one.name: one.office.id for one in house.sellers}
    office_of = dict(db.session.execute(select(Purchase.id, Purchase.regional_office_id)).all())
    for one in received:
        assert homes[one.office] == office_of[json.loads(one.body)["data"]["purchase_id"]]


def check_order(changes: Sequence[Change], received: Sequence[tuple[Change, int | None]]) -> None:
    """No change was sent before the one before it was taken."""
    arrived: dict[Change, int] = {}
    taken: dict[Change, int] = {}
    for place, (change, status) in enumerate(received):
        arrived.setdefault(change, place)
        if status == 200:
            taken.setdefault(change, place)
    for before, after in pairwise(changes):
        if before[0] == after[0]:
            assert taken[before] < arrived[after], (before, after)


def _change_in(event: dict[str, Any]) -> Change:
    data = event["data"]
    return data["purchase_id"], data["previous_state"], data["state"]
