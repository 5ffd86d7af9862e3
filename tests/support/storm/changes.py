"""Changes purchases, and checks that every change reaches its office in order."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select

from automart.background import JobState
from automart.core.db import db, release_connection, transaction
from automart.purchases.models import Purchase, PurchaseChange, PurchaseState
from automart.webhooks import deliveries
from automart.webhooks.models import DeliveryState, WebhookDelivery
from sandbox.office import Received
from tests.support.processes import until
from tests.support.purchases import PATHS, all_deliveries, all_jobs
from tests.support.storm.deployment import Deployment

S = PurchaseState
DELIVERY = "webhook_delivery"
Path = list[PurchaseState]
Change = tuple[int, str, str]
"""The id of a purchase, its state before and its state after."""

PURCHASE_PATHS = [PATHS[state] for state in (S.DELIVERED, S.SHIPPED, S.MANUFACTURED, S.CANCELLED)]
PURCHASE_PATHS.append([S.MANUFACTURING, S.CANCELLED])
# The pause is seconds after the first failure, and minutes after the second one, which is too long.
MOST_TRIES = 1


class Changes:
    """Ordered purchases to change. One to three clients report each change at the same time."""

    def __init__(self, deployment: Deployment, purchase_ids: Sequence[int]) -> None:
        self._deployment = deployment
        self._paths = {ident: deployment.random.choice(PURCHASE_PATHS) for ident in purchase_ids}
        self._changes = _changes(self._paths)
        self._redelivered = 0
        self.calls = [
            partial(_walk, deployment, ident, path)
            for ident, path in self._paths.items()
            for _ in range(deployment.random.randint(1, 3))
        ]
        self.expected = len(self._changes)

    def count_done(self) -> int:
        """Return the number of delivered changes. Bring forward attempts due much later."""
        self._redelivered += _redeliver_delayed()
        deliveries = select(func.count(WebhookDelivery.id))
        count = (
            db.session.scalar(deliveries.where(WebhookDelivery.state == DeliveryState.SUCCEEDED))
            or 0
        )
        release_connection()
        return count

    def check(self, answers: Sequence[int]) -> Counter[str]:
        """Check that all changes are stored and were received as they were reported."""
        # The job that has sent the last delivery may not have ended yet.
        until(lambda: all(job.state.has_ended for job in all_jobs(DELIVERY)))
        received = self._deployment.offices.received()
        _check_stored(self._paths)
        _check_received(self._deployment, self._changes, received)
        return Counter(
            {
                "purchases changed": len(self._paths),
                "changes": self.expected,
                "changes reported": sum(answers),
                "webhooks received": len(received),
                "webhooks received more than once": len(received) - self.expected,
                "webhooks not accepted": sum(one.status != 200 for one in received),
                "attempts recorded": sum(len(one.attempts) for one in all_deliveries()),
                "deliveries brought forward": self._redelivered,
                "jobs of deliveries": len(all_jobs(DELIVERY)),
            }
        )


def _changes(paths: Mapping[int, Path]) -> list[Change]:
    return [
        (ident, before.value, after.value)
        for ident, path in paths.items()
        for before, after in zip([S.ORDERED, *path], path, strict=False)
    ]


def _walk(deployment: Deployment, purchase_id: int, path: Path) -> int:
    """Report all states in order; others may report the same. Return their number."""
    for state in path:
        answer = deployment.senders.post(
            f"/v1/update-state-webhook/{purchase_id}", deployment.maker.token, {"state": state}
        )
        assert answer.status_code in (200, 409), answer.text
    return len(path)


def _redeliver_delayed() -> int:
    """Redeliver what would wait for minutes, as an administrator would. Return the number."""
    delayed = select(WebhookDelivery).where(
        WebhookDelivery.state == DeliveryState.PENDING, WebhookDelivery.tries > MOST_TRIES
    )
    counts = delayed.with_only_columns(WebhookDelivery.endpoint_id, func.count())
    found = db.session.execute(counts.group_by(WebhookDelivery.endpoint_id)).all()
    release_connection()
    for endpoint_id, _ in found:
        with transaction():
            deliveries.redeliver(endpoint_id, delayed)
    return sum(count for _, count in found)


def _check_stored(paths: Mapping[int, Path]) -> None:
    """Check that each purchase took its path, and that all deliveries and jobs succeeded."""
    changes = db.session.query(PurchaseChange).order_by(PurchaseChange.id)
    stored = defaultdict(list)
    for change in changes.where(PurchaseChange.purchase_id.in_(paths)):
        stored[change.purchase_id].append(change.state)
    assert stored == {ident: [S.ORDERED, *path] for ident, path in paths.items()}
    expected = sum(map(len, paths.values()))
    assert Counter(one.state for one in all_deliveries()) == {DeliveryState.SUCCEEDED: expected}
    assert {job.state for job in all_jobs(DELIVERY)} == {JobState.SUCCEEDED}


def _check_received(
    deployment: Deployment, changes: Sequence[Change], received: Sequence[Received]
) -> None:
    """Check that each change reached its office, signed, in order and with its own id."""
    assert {(one.verified, one.reason) for one in received} == {(True, "")}
    bodies = {one.webhook_id: one.body for one in received}
    assert all(bodies[one.webhook_id] == one.body for one in received)
    assert len(bodies) == len(changes)
    events = {ident: json.loads(body) for ident, body in bodies.items()}
    assert {event["type"] for event in events.values()} == {"purchase.state_changed"}
    assert sorted(map(_change_in, events.values())) == sorted(changes)
    check_order(changes, [(_change_in(events[one.webhook_id]), one.status) for one in received])
    accepted = {one.webhook_id for one in received if one.status == 200}
    assert accepted == bodies.keys()
    office_ids = {one.name: one.office.id for one in deployment.sellers}
    office_of = dict(db.session.execute(select(Purchase.id, Purchase.regional_office_id)).all())
    for one in received:
        assert office_ids[one.office] == office_of[json.loads(one.body)["data"]["purchase_id"]]


def check_order(changes: Sequence[Change], received: Sequence[tuple[Change, int | None]]) -> None:
    """Check that no change was sent before the previous one was accepted."""
    arrived: dict[Change, int] = {}
    accepted: dict[Change, int] = {}
    for place, (change, status) in enumerate(received):
        arrived.setdefault(change, place)
        if status == 200:
            accepted.setdefault(change, place)
    for before, after in pairwise(changes):
        if before[0] == after[0]:
            assert accepted[before] < arrived[after], (before, after)


def _change_in(event: dict[str, Any]) -> Change:
    data = event["data"]
    return data["purchase_id"], data["previous_state"], data["state"]
