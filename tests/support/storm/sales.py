"""Reports each sale one to three times, and checks that each is one purchase."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import func, select

from automart.background import Job, JobState
from automart.core.db import db, release_connection
from automart.purchases.models import Purchase, PurchaseChange
from tests.support.purchases import all_jobs, sale
from tests.support.storm.deployment import Deployment, Seller

CARS = (("Honda", "Civic"), ("Honda", "Accord"), ("Toyota", "Corolla"))
RECORDING = "purchase_recording"
PREFIX = "storm-"


@dataclass(frozen=True)
class Sale:
    seller: Seller
    number: str
    brand: str
    car_model: str

    @property
    def facts(self) -> tuple[int, str, str, str]:
        return self.seller.office.id, self.number, self.brand, self.car_model


class Sales:
    """`count` sales to report."""

    def __init__(self, deployment: Deployment, count: int) -> None:
        self._count = count
        self._reports = _reports(deployment, count)
        self.calls = [partial(_report, deployment, one) for one in self._reports]
        self.expected = len(self.calls)

    def count_done(self) -> int:
        """Return the number of finished jobs."""
        ended = select(func.count(Job.id)).where(
            Job.kind == RECORDING, Job.finished_at.is_not(None)
        )
        count = db.session.scalar(ended) or 0
        release_connection()
        return count

    def check(self, answers: Sequence[uuid.UUID]) -> Counter[str]:
        """Check that each 202 is a job that succeeded, and that all jobs of a sale have the same
        purchase, which is the only one of the sale and was ordered once."""
        jobs = all_jobs(RECORDING)
        assert [job.id for job in jobs] == sorted(answers)
        assert Counter(job.state for job in jobs) == {JobState.SUCCEEDED: self.expected}
        rows = [row for row in db.session.query(Purchase) if _is_ours(row)]
        purchases = {_facts(row): row.id for row in rows}
        assert len(purchases) == len(rows) == self._count
        results = {job.id: job.result for job in jobs}
        for one, job_id in zip(self._reports, answers, strict=True):
            assert results[job_id]["id"] == purchases[one.facts]
        changes = db.session.query(PurchaseChange).where(PurchaseChange.previous_state.is_(None))
        ordered = Counter(change.purchase_id for change in changes)
        assert all(ordered[ident] == 1 for ident in purchases.values())
        return Counter(
            {
                "sales": self._count,
                "reports accepted": self.expected,
                "jobs run more than once": sum(job.attempts > 1 for job in jobs),
            }
        )


def _reports(deployment: Deployment, count: int) -> list[Sale]:
    """Return each sale one to three times: half of the repeats at the same time, half at any."""
    random = deployment.random
    placed: list[tuple[float, Sale]] = []
    for place in range(count):
        one = Sale(random.choice(deployment.sellers), f"{PREFIX}{place}", *random.choice(CARS))
        again = [random.choice((place, random.uniform(place, count))) for _ in range(2)]
        placed += [(at, one) for at in [place, *again[: random.randint(0, 2)]]]
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])]


def _report(deployment: Deployment, one: Sale) -> uuid.UUID:
    body = sale(one.number, brand=one.brand, car_model=one.car_model)
    answer = deployment.senders.post("/v1/sales-webhook", one.seller.machine.token, body)
    assert answer.status_code == 202, answer.text
    return uuid.UUID(answer.json()["id"])


def _is_ours(purchase: Purchase) -> bool:
    return purchase.external_order_number.startswith(PREFIX)


def _facts(purchase: Purchase) -> tuple[int, str, str, str]:
    number = purchase.external_order_number
    return purchase.regional_office_id, number, purchase.brand, purchase.car_model
