"""Sales of regional offices, and the states of purchases."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.background.prefer_wait import accepted, can_wait
from automart.background.schemas import Job
from automart.core.db import transaction
from automart.core.errors import Invalid
from automart.partners.models import MANUFACTURER_SCOPE, OFFICE_SCOPE
from automart.partners.service import current_make_id
from automart.purchases import models, service
from automart.purchases.schemas import (
    NewSale,
    OrderedVehicle,
    Purchase,
    PurchaseQuery,
    StateChange,
)
from automart.web import (
    USER,
    Answer,
    Blueprint,
    PageQuery,
    Values,
    idempotent,
    page_of,
    paginate,
    paginate_by,
    requires,
)
from automart.web.fields import ANY_SPELLING

blp = Blueprint("purchases", __name__, url_prefix="/v1", description="Purchases and their states")


BRAND = {"in": "path", "name": "brand", "description": ANY_SPELLING}


@blp.route("/sales-webhook")
class SalesWebhook(MethodView):
    @requires(scope=OFFICE_SCOPE)
    @can_wait
    @blp.arguments(NewSale)
    @idempotent
    @blp.response(202, Job)
    @blp.alt_response(409, "CONFLICT")
    @blp.doc(operationId="reportSale")
    def post(self, sale: Values) -> Answer:
        """Report a sale.

        A background job records it. The result of the job is the purchase.
        """
        office_id = _requested_office(sale)
        job = service.submit_sale(
            sale["external_order_number"], sale["brand"], sale["car_model"], office_id
        )
        return accepted(job)


@blp.route("/get-all-vehicles-for-manufacturing/<path:brand>", parameters=[BRAND])
class VehiclesForManufacturing(MethodView):
    @requires(scope=MANUFACTURER_SCOPE)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(OrderedVehicle))
    @blp.doc(operationId="listVehiclesForManufacturing")
    def get(self, query: Values, brand: str) -> Values:
        """List the ordered vehicles of one of your makes, oldest first."""
        ordered = select(models.Purchase).where(
            models.Purchase.make_id == current_make_id(brand),
            models.Purchase.state == models.PurchaseState.ORDERED,
        )
        return paginate(ordered, models.Purchase.id, query)


@blp.route("/update-state-webhook/<id:purchase_id>")
class UpdateStateWebhook(MethodView):
    @requires(scope=MANUFACTURER_SCOPE)
    @blp.arguments(StateChange)
    @blp.response(200, Purchase)
    @blp.alt_response(409, "CONFLICT")
    @blp.doc(operationId="updatePurchaseState")
    def post(self, change: Values, purchase_id: int) -> models.Purchase:
        """Update a purchase's state and notify its regional office.

        Sending the current state again changes nothing.
        """
        with transaction():
            purchase = service.lock_purchase(purchase_id)
            service.update_purchase_state(purchase, change["state"])
        return purchase


@blp.route("/purchases")
class Purchases(MethodView):
    @requires(USER, scope=(OFFICE_SCOPE, MANUFACTURER_SCOPE))
    @blp.arguments(PurchaseQuery, location="query")
    @blp.response(200, page_of(Purchase))
    def get(self, query: Values) -> Values:
        """List purchases.

        An office sees its own, a manufacturer those of its makes, a user all.
        """
        fetch = service.visible_purchases_after(query)
        return paginate_by(fetch, models.Purchase.id, query)


@blp.route("/purchases/<id:purchase_id>")
class PurchaseById(MethodView):
    @requires(USER, scope=(OFFICE_SCOPE, MANUFACTURER_SCOPE))
    @blp.response(200, Purchase)
    def get(self, purchase_id: int) -> models.Purchase:
        """Get a purchase."""
        return service.get_purchase(purchase_id)


def _requested_office(sale: Values) -> int | None:
    ids = {sale[name] for name in ("regional_office_id", "regional_office") if name in sale}
    if len(ids) > 1:
        raise Invalid.field("regional_office", "Differs from regional_office_id.")
    return next(iter(ids), None)
