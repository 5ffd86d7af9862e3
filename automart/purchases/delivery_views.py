"""Webhook deliveries: to look at, and to order again."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from sqlalchemy import select

from automart.accounts.auth import ADMIN, requires
from automart.api import Blueprint, idempotent, page_of, paginate
from automart.background import Job
from automart.background.schemas import JobSchema
from automart.background.waiting import accepted, can_wait
from automart.db import get_or_404, transaction
from automart.purchases import deliveries
from automart.purchases.models import WebhookDelivery
from automart.purchases.schemas import DeliveryQuery, DeliverySchema

blp = Blueprint("webhooks", __name__, url_prefix="/v1", description="Webhooks on their way")


@blp.route("/webhook-deliveries")
class WebhookDeliveries(MethodView):
    @requires(ADMIN)
    @blp.arguments(DeliveryQuery, location="query")
    @blp.response(200, page_of(DeliverySchema))
    def get(self, query: dict[str, Any]) -> dict[str, Any]:
        """List deliveries, with every try of each."""
        found = select(WebhookDelivery)
        if query["state"] is not None:
            found = found.where(WebhookDelivery.state == query["state"])
        if query["regional_office_id"] is not None:
            found = found.where(WebhookDelivery.regional_office_id == query["regional_office_id"])
        return paginate(found, WebhookDelivery.id, query)


@blp.route("/webhook-deliveries/<id:delivery_id>")
class WebhookDeliveryById(MethodView):
    @requires(ADMIN)
    @blp.response(200, DeliverySchema)
    @blp.alt_response(404, "NOT_FOUND")
    def get(self, delivery_id: int) -> WebhookDelivery:
        """Read a delivery, with every try."""
        return get_or_404(WebhookDelivery, delivery_id)


@blp.route("/webhook-deliveries/<id:delivery_id>/redeliver")
class Redelivery(MethodView):
    @requires(ADMIN)
    @can_wait
    @idempotent
    @blp.response(202, JobSchema)
    @blp.alt_response(404, "NOT_FOUND")
    @blp.alt_response(409, "CONFLICT")
    def post(self, delivery_id: int) -> tuple[Job, int, Any]:
        """Deliver again, under the same `webhook-id`, from the first try on. The job is the one
        that delivers whatever is due to the office."""
        with transaction():
            delivery = get_or_404(WebhookDelivery, delivery_id)
            this = select(WebhookDelivery).where(WebhookDelivery.id == delivery.id)
            job = deliveries.redeliver(delivery.regional_office_id, this)
        return accepted(job)
