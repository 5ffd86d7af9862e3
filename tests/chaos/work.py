"""One piece of work of each kind: how it is started, and what must hold when it has ended."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Protocol

from sqlalchemy import func, select

from automart.background import Job, JobState, submit
from automart.background.kinds import PURCHASE_RECORDING, VEHICLE_SYNC
from automart.catalogue.models import VehicleModel
from automart.catalogue.service import SCHEDULER
from automart.core.db import db, transaction, utcnow
from automart.customers.models import Customer
from automart.inventory.models import Booking, BookingStatus
from automart.notices.maintenance import record_notices
from automart.notices.models import Notice
from automart.purchases.models import Purchase, PurchaseChange
from automart.vins.models import VinDecoding
from automart.webhooks.models import DeliveryState, WebhookDelivery
from tests.chaos.deployment import Deployment
from tests.chaos.fault_points import HOUSEKEEPING
from tests.support.inventory import HONDA, MAKES, booking_body, day, make_car
from tests.support.purchases import make_purchase, sale
from tests.support.sync import catalogue_of

CIVIC_VIN = "2HGFC2F56KH512345"
ROWS = 3

_numbers = itertools.count(1)


class Work(Protocol):
    """A piece of work. `name` is that of its fault points."""

    name: ClassVar[str]

    def start(self, deployment: Deployment) -> None:
        """Start it."""

    def check(self, deployment: Deployment) -> None:
        """Check its result. All jobs have ended."""


def _count(model: type[Any], *where: Any) -> int:
    db.session.rollback()
    return int(db.session.scalar(select(func.count()).select_from(model).where(*where)))


@dataclass
class OfJob:
    """Work that is a job, submitted over HTTP."""

    has_key: ClassVar[bool] = True
    url: str = ""

    def submit(self, deployment: Deployment, who: str, path: str, **body: Any) -> None:
        answer = deployment.insist(who, "POST", path, has_key=self.has_key, **body)
        assert answer.status_code == 202, answer.text
        self.url = answer.headers["Location"]

    @property
    def job_id(self) -> str:
        return self.url.rpartition("/")[2]

    def result(self, deployment: Deployment) -> Any:
        """Return the result of the job, which has succeeded."""
        db.session.rollback()
        job = db.session.get_one(Job, uuid.UUID(self.job_id))
        db.session.refresh(job)
        assert job.state is JobState.SUCCEEDED, (job.state, job.error)
        return job.result


@dataclass
class SaleReport(OfJob):
    """A sale becomes one purchase. The names of its subclasses are two parts of the same work."""

    name: ClassVar[str] = "purchase_recording"
    number: str = ""

    def start(self, deployment: Deployment) -> None:
        self.number = f"sale {next(_numbers)}"
        self.submit(deployment, "office", "/v1/sales-webhook", json=sale(self.number))

    def check(self, deployment: Deployment) -> None:
        purchase_id = self.result(deployment)["id"]
        db.session.rollback()
        of_number = select(Purchase.id).where(Purchase.external_order_number == self.number)
        assert list(db.session.scalars(of_number)) == [purchase_id]
        assert _count(PurchaseChange, PurchaseChange.purchase_id == purchase_id) == 1


@dataclass
class SaleRequest(SaleReport):
    """An office that repeats a report needs no key."""

    name: ClassVar[str] = "POST /v1/sales-webhook"
    has_key: ClassVar[bool] = False


@dataclass
class Sync(OfJob):
    """A sync brings one new model to each make."""

    name: ClassVar[str] = "vehicle_sync"

    def start(self, deployment: Deployment) -> None:
        db.session.rollback()
        rows = db.session.execute(select(VehicleModel.make_id, VehicleModel.id, VehicleModel.name))
        self.models: dict[int, dict[int, str]] = {make_id: {} for make_id in MAKES}
        for make_id, ident, name in rows:
            self.models[make_id][ident] = name
        self.new = []
        for make_id, models in self.models.items():
            ident = 100_000 + next(_numbers)
            self.new.append(ident)
            models[ident] = f"Model {ident} of {make_id}"
        deployment.vpic.serve(catalogue_of(self.models))
        body = {"make_ids": list(MAKES)}
        self.submit(deployment, "person", "/v1/vehicle-syncs", json=body)

    def check(self, deployment: Deployment) -> None:
        created = {one["id"]: one["created"] for one in self.result(deployment)["makes_updated"]}
        assert created == dict.fromkeys(MAKES, 1)
        changes = deployment.send("person", "GET", f"/v1/model-changes?sync_id={self.job_id}")
        assert {one["change"] for one in changes.json()["items"]} == {"created"}
        assert sorted(one["model_id"] for one in changes.json()["items"]) == sorted(self.new)
        stored = {ident for models in self.models.values() for ident in models}
        assert set(db.session.scalars(select(VehicleModel.id))) == stored


@dataclass
class CsvImport(OfJob):
    """Each record of a file becomes one customer."""

    name: ClassVar[str] = "csv_import"

    def start(self, deployment: Deployment) -> None:
        self.last_name = f"Imported{next(_numbers)}"
        rows = "".join(f"Ann{n},{self.last_name}\n" for n in range(ROWS))
        files = {"file": ("customers.csv", f"first_name,last_name\n{rows}".encode())}
        self.submit(deployment, "person", "/v1/customers/imports", files=files)

    def check(self, deployment: Deployment) -> None:
        assert self.result(deployment)["imported"] == ROWS
        assert _count(Customer, Customer.last_name == self.last_name) == ROWS


@dataclass
class Decoding(OfJob):
    """A VIN is decoded and stored."""

    name: ClassVar[str] = "vin_decoding"

    def start(self, deployment: Deployment) -> None:
        with transaction():
            db.session.query(VinDecoding).delete()
        self.submit(deployment, "person", "/v1/vin-decodings", json={"vin": CIVIC_VIN})

    def check(self, deployment: Deployment) -> None:
        (vehicle,) = self.result(deployment)["vehicles"]
        assert (vehicle["vin"], vehicle["make"]) == (CIVIC_VIN, "Honda")
        assert _count(VinDecoding, VinDecoding.vin == CIVIC_VIN) == 1


class Delivery:
    """A change of state reaches the office, each time it is sent with the same id."""

    name: ClassVar[str] = "webhook_delivery"

    def start(self, deployment: Deployment) -> None:
        self.purchase_id = make_purchase(deployment.office).id
        path = f"/v1/update-state-webhook/{self.purchase_id}"
        answer = deployment.insist("maker", "POST", path, json={"state": "cancelled"})
        assert answer.status_code == 200, answer.text

    def check(self, deployment: Deployment) -> None:
        assert _count(PurchaseChange, PurchaseChange.purchase_id == self.purchase_id) == 2
        subject = WebhookDelivery.subject == f"purchase:{self.purchase_id}"
        delivery = db.session.scalars(select(WebhookDelivery).where(subject)).one()
        assert delivery.state is DeliveryState.SUCCEEDED
        assert delivery.attempts[-1].status == 200
        received = [
            one for one in deployment.offices.received() if one.webhook_id == delivery.webhook_id
        ]
        assert {(one.body.decode(), one.verified) for one in received} == {(delivery.body, True)}


class NoticeOfSync:
    """A failed nightly sync is reported once, or twice if the sender was killed in between."""

    name: ClassVar[str] = "notice_delivery"

    def start(self, deployment: Deployment) -> None:
        self.detail = f"The sync {next(_numbers)} failed."
        with transaction():
            due_at = utcnow() + timedelta(days=1)
            sync = submit(VEHICLE_SYNC, due_at=due_at, owner=SCHEDULER, make_ids=None)
            db.session.get_one(Job, sync.id).update(
                {
                    "state": JobState.FAILED,
                    "error": {"status": 502, "detail": self.detail},
                    "finished_at": utcnow(),
                }
            )
        record_notices()

    def check(self, deployment: Deployment) -> None:
        assert _count(Notice, Notice.ended_at.is_(None)) == 0
        messages = [one["message"] for one in deployment.notified.requests]
        assert 1 <= sum(self.detail in message for message in messages) <= 2


class DelayedJob:
    """Housekeeping dispatches a job when it is due."""

    name: ClassVar[str] = HOUSEKEEPING

    def start(self, deployment: Deployment) -> None:
        self.number = f"delayed sale {next(_numbers)}"
        with transaction():
            submit(
                PURCHASE_RECORDING,
                due_at=utcnow() + timedelta(milliseconds=200),
                owner="test",
                regional_office_id=deployment.office.id,
                external_order_number=self.number,
                make_id=HONDA,
                car_model="Civic",
            )

    def check(self, deployment: Deployment) -> None:
        assert _count(Purchase, Purchase.external_order_number == self.number) == 1


class BookingRequest:
    """A request for a booking that is repeated under the same key is one booking."""

    name: ClassVar[str] = "POST /v1/bookings"

    def start(self, deployment: Deployment) -> None:
        self.car_id = make_car().id
        body = booking_body(self.car_id, day(1), day(2))
        answer = deployment.insist("person", "POST", "/v1/bookings", json=body)
        assert answer.status_code == 201, answer.text
        self.booking_id = answer.json()["id"]

    def check(self, deployment: Deployment) -> None:
        db.session.rollback()
        of_car = select(Booking.id, Booking.status).where(Booking.car_id == self.car_id)
        found = db.session.execute(of_car).all()
        assert found == [(self.booking_id, BookingStatus.CONFIRMED)]


def all_works() -> list[Work]:
    return [
        SaleReport(),
        SaleRequest(),
        Sync(),
        CsvImport(),
        Decoding(),
        Delivery(),
        NoticeOfSync(),
        DelayedJob(),
        BookingRequest(),
    ]
