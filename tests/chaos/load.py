"""Clients that work while parts are damaged, and insist on the acknowledgement of each order."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests
from sqlalchemy import func, select

from automart.background import Job, JobState
from automart.core.db import db
from automart.inventory.models import Booking
from automart.purchases.models import Purchase, PurchaseChange
from automart.webhooks.models import DeliveryState
from tests.chaos.deployment import Deployment, wait_for_jobs
from tests.support.inventory import MAKES, booking_body, day, make_car
from tests.support.limits import LIMIT
from tests.support.purchases import all_deliveries, make_purchase, sale

CLIENTS = 6
PURCHASES = 12
PAUSE = 0.2
# These depend on NHTSA, and may fail if it is not there.
MAY_FAIL = {"vehicle_sync", "vin_decoding"}


@dataclass
class Load:
    """One round of orders. `check` finds what was lost or done twice."""

    deployment: Deployment
    seen: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    numbers: list[str] = field(default_factory=list)
    booking_ids: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._car_id = make_car().id
        self._purchases = [make_purchase(self.deployment.office).id for _ in range(PURCHASES)]
        self._days = iter(range(10_000))
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._running: list[Future[None]] = []

    def start(self) -> None:
        self._running = [self._pool.submit(self._work) for _ in range(CLIENTS)]

    def stop(self) -> None:
        """Let the clients finish their last order, and wait for what follows from all."""
        self._enough.set()
        for future in self._running:
            future.result(LIMIT)
        self._pool.shutdown()
        wait_for_jobs()

    def check(self) -> None:
        db.session.rollback()
        jobs = db.session.scalars(select(Job).execution_options(populate_existing=True)).all()
        bad = [(j.kind, j.state, j.error) for j in jobs if j.state is not JobState.SUCCEEDED]
        assert [job for job in bad if job[0] not in MAY_FAIL] == []
        assert all(error and error["status"] == 502 for _, _, error in bad), bad
        stored = select(Purchase.external_order_number, func.count())
        counts = dict(db.session.execute(stored.group_by(Purchase.external_order_number)).all())
        assert {number: counts.get(number) for number in self.numbers} == dict.fromkeys(
            self.numbers, 1
        )
        of_car = select(Booking.id).where(Booking.car_id == self._car_id)
        assert sorted(db.session.scalars(of_car)) == sorted(self.booking_ids)
        self._check_deliveries()

    def _check_deliveries(self) -> None:
        changes = select(PurchaseChange.purchase_id).where(
            PurchaseChange.purchase_id.in_(self._purchases),
            PurchaseChange.previous_state.is_not(None),
        )
        assert sorted(db.session.scalars(changes)) == sorted(self.cancelled)
        deliveries = all_deliveries()
        unsent = [one.subject for one in deliveries if one.state is not DeliveryState.SUCCEEDED]
        assert unsent == []
        accepted = {o.webhook_id for o in self.deployment.offices.received() if o.status == 200}
        subjects = {f"purchase:{ident}" for ident in self.cancelled}
        ours = [one for one in deliveries if one.subject in subjects]
        assert {one.webhook_id for one in ours} <= accepted
        assert Counter(one.subject for one in ours) == dict.fromkeys(subjects, 1)

    def _work(self) -> None:
        session = requests.Session()
        session.trust_env = False
        with session:
            while not self._enough.is_set():
                random.choices(
                    [self._sell, self._book, self._cancel, self._decode, self._sync],
                    [5, 5, 3, 1, 1],
                )[0](session)
                self._enough.wait(PAUSE)

    def _sell(self, session: requests.Session) -> None:
        number = uuid.uuid4().hex
        self._order(session, "office", "/v1/sales-webhook", sale(number), {202})
        with self._lock:
            self.numbers.append(number)

    def _book(self, session: requests.Session) -> None:
        with self._lock:
            start = next(self._days)
        body = booking_body(self._car_id, day(start), day(start + 1))
        answer = self._order(session, "person", "/v1/bookings", body, {201})
        with self._lock:
            self.booking_ids.append(answer["id"])

    def _cancel(self, session: requests.Session) -> None:
        with self._lock:
            if len(self.cancelled) == PURCHASES:
                return
            ident = self._purchases[len(self.cancelled)]
            self.cancelled.append(ident)
        path = f"/v1/update-state-webhook/{ident}"
        self._order(session, "maker", path, {"state": "cancelled"}, {200})

    def _decode(self, session: requests.Session) -> None:
        vin = f"WBA{random.randrange(10**14):014d}"
        self._order(session, "person", "/v1/vin-decodings", {"vin": vin}, {202})

    def _sync(self, session: requests.Session) -> None:
        body = {"make_ids": list(MAKES)}
        self._order(session, "person", "/v1/vehicle-syncs", body, {202, 409})

    def _order(
        self, session: requests.Session, who: str, path: str, body: Any, wanted: set[int]
    ) -> Any:
        """Send one order until it is acknowledged. Nothing but 503 and no response may precede."""
        headers = {
            "Authorization": f"Bearer {self.deployment.tokens[who]}",
            "Idempotency-Key": str(uuid.uuid4()),
        }
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            began = time.monotonic()
            answer = session.post(
                self.deployment.url + path, json=body, headers=headers, timeout=LIMIT
            )
            with self._lock:
                self.seen[str(answer.status_code)] += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
            if answer.status_code in wanted:
                return answer.json()
            assert answer.status_code == 503, f"{path}: {answer.status_code} {answer.text}"
            assert int(answer.headers["Retry-After"]) > 0
            time.sleep(0.3)
        raise AssertionError(f"{path} was not acknowledged within {LIMIT} seconds.")
