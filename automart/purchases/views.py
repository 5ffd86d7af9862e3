"""Sales, purchases and their states: for offices, manufacturers, and people."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from sqlalchemy import select

from automart.accounts.auth import USER, requires
from automart.api import Blueprint, Values, idempotent, page_of, paginate
from automart.background import Job
from automart.background.schemas import JobSchema
from automart.background.waiting import accepted, can_wait
from automart.db import db, transaction
from automart.errors import Invalid, NotFound
from automart.purchases import service
from automart.purchases.models import Purchase, PurchaseState
from automart.purchases.partners import MANUFACTURER_SCOPE, OFFICE_SCOPE
from automart.purchases.schemas import (
    OrderedVehicleSchema,
    OrderedVehiclesQuery,
    PurchaseQuery,
    PurchaseSchema,
    SaleSchema,
    StateChange,
)

blp = Blueprint("purchases", __name__, url_prefix="/v1", description="Sales and their making")


@blp.route("/sales-webhook")
class SalesWebhook(MethodView):
    @requires(scope=OFFICE_SCOPE)
    @can_wait
    @idempotent
    @blp.arguments(SaleSchema)
    @blp.response(202, JobSchema)
    @blp.alt_response(409, "CONFLICT")
    def post(self, sale: Values) -> tuple[Job, int, Any]:
        """Report a sale. It is written in the background; the job's result is the purchase."""
        office_id = _office_meant(sale)
        with transaction():
            job = service.report_sale(
                sale["external_order_number"], sale["brand"], sale["car_model"], office_id
            )
        return accepted(job)


@blp.route("/get-all-vehicles-for-manufacturing/<path:brand>")
class VehiclesForManufacturing(MethodView):
    @requires(scope=MANUFACTURER_SCOPE)
    @blp.arguments(OrderedVehiclesQuery, location="query")
    @blp.response(200, page_of(OrderedVehicleSchema))
    @blp.alt_response(404, "NOT_FOUND")
    def get(self, query: Values, brand: str) -> Values:
        """List what is ordered of one of your makes, the oldest first."""
        ordered = select(Purchase).where(
            Purchase.make_id == service.make_id_of(brand), Purchase.state == PurchaseState.ORDERED
        )
        return paginate(ordered, Purchase.id, query)


@blp.route("/update-state-webhook/<id:purchase_id>")
class UpdateStateWebhook(MethodView):
    @requires(scope=MANUFACTURER_SCOPE)
    @blp.arguments(StateChange)
    @blp.response(200, PurchaseSchema)
    @blp.alt_response(404, "NOT_FOUND")
    @blp.alt_response(409, "CONFLICT")
    def post(self, change: Values, purchase_id: int) -> Purchase:
        """Say how far a car of your makes is. Its office is told. The same state again changes
        nothing."""
        with transaction():
            purchase = service.lock_purchase_to_move(purchase_id)
            service.move(purchase, change["state"])
        return purchase


@blp.route("/purchases")
class Purchases(MethodView):
    @requires(USER, scope=(OFFICE_SCOPE, MANUFACTURER_SCOPE))
    @blp.arguments(PurchaseQuery, location="query")
    @blp.response(200, page_of(PurchaseSchema))
    def get(self, query: Values) -> Values:
        """List purchases: an office its own, a manufacturer those of its makes, people all."""
        return service.list_purchases(query)


@blp.route("/purchases/<id:purchase_id>")
class PurchaseById(MethodView):
    @requires(USER, scope=(OFFICE_SCOPE, MANUFACTURER_SCOPE))
    @blp.response(200, PurchaseSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def get(self, purchase_id: int) -> Purchase:
        """Read a purchase."""
        found = service.visible_purchases().where(Purchase.id == purchase_id)
        purchase: Purchase | None = db.session.scalar(found)
        if purchase is None:
            raise NotFound(f"There is no purchase {purchase_id}.")
        return purchase


def _office_meant(sale: Values) -> int | None:
    by_either_name = {sale[n] for n in ("regional_office_id", "regional_office") if n in sale}
    if len(by_either_name) > 1:
        raise Invalid.field("regional_office", "Differs from regional_office_id.")
    return next(iter(by_either_name), None)
