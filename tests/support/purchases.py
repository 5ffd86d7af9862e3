"""Factories of offices, manufacturers and purchases."""

from __future__ import annotations

import itertools
from typing import Any

from automart.accounts.models import Client
from automart.background import Job
from automart.catalogue.models import VehicleMake
from automart.core.db import db, transaction
from automart.partners import service as partners
from automart.partners.models import Manufacturer, RegionalOffice
from automart.purchases import service
from automart.purchases.models import Purchase, PurchaseState
from automart.webhooks.models import WebhookDelivery
from tests.support.inventory import HONDA, TOYOTA, add_catalogue

__all__ = ["HONDA", "TOYOTA", "add_catalogue"]

_numbers = itertools.count(1)

S = PurchaseState
PATHS = {
    S.ORDERED: [],
    S.MANUFACTURING: [S.MANUFACTURING],
    S.MANUFACTURED: [S.MANUFACTURING, S.MANUFACTURED],
    S.SHIPPED: [S.MANUFACTURING, S.MANUFACTURED, S.SHIPPED],
    S.DELIVERED: [S.MANUFACTURING, S.MANUFACTURED, S.SHIPPED, S.DELIVERED],
    S.CANCELLED: [S.CANCELLED],
}
"""The states that lead to each state."""


def ensure_catalogue() -> None:
    if db.session.get(VehicleMake, HONDA) is None:
        add_catalogue()


def make_office(**values: Any) -> RegionalOffice:
    return make_signing_office(**values)[0]


def make_signing_office(**values: Any) -> tuple[RegionalOffice, str]:
    """Store an office. Return it and the secret that signs its webhooks."""
    defaults = {"name": f"Office {next(_numbers)}", "webhook_url": None, "webhook_enabled": True}
    with transaction():
        return partners.create_office(defaults | values)


def make_manufacturer(*make_ids: int) -> Manufacturer:
    if make_ids:
        ensure_catalogue()
    values = {"name": f"Manufacturer {next(_numbers)}", "make_ids": make_ids}
    with transaction():
        return partners.create_manufacturer(values)


def client_of(partner: RegionalOffice | Manufacturer) -> Client:
    with transaction():
        name = f"Machine {next(_numbers)}"
        if isinstance(partner, RegionalOffice):
            return partners.create_office_client(partner, name)[0]
        return partners.create_manufacturer_client(partner, name)[0]


def make_purchase(
    office: RegionalOffice,
    state: PurchaseState = S.ORDERED,
    *,
    make_id: int = HONDA,
    order_number: str | None = None,
) -> Purchase:
    """Store a purchase and bring it into `state` step by step."""
    ensure_catalogue()
    model = "Corolla" if make_id == TOYOTA else "Civic"
    with transaction():
        number = order_number or f"order {next(_numbers)}"
        service.create_purchase(office.id, number, make_id, model)
        purchase = (
            db.session.query(Purchase)
            .filter_by(regional_office_id=office.id, external_order_number=number)
            .one()
        )
    for step in PATHS[state]:
        move(purchase, step)
    return purchase


def move(purchase: Purchase, state: PurchaseState) -> None:
    with transaction():
        stored = db.session.get_one(Purchase, purchase.id, populate_existing=True)
        service.update_purchase_state(stored, state)


def sale(order_number: str = "A-1", **values: Any) -> dict[str, Any]:
    """Return the body that reports a sale."""
    return {"external_order_number": order_number, "brand": "Honda", "car_model": "Civic"} | values


def all_deliveries() -> list[WebhookDelivery]:
    """Return all deliveries, freshly read."""
    db.session.rollback()
    return list(db.session.query(WebhookDelivery).populate_existing().order_by(WebhookDelivery.id))


def all_jobs(kind: str) -> list[Job]:
    db.session.rollback()
    return list(db.session.query(Job).filter_by(kind=kind).populate_existing().order_by(Job.id))
