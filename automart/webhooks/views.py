"""Webhook deliveries: listing, reading and redelivering them."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from automart.background.prefer_wait import accepted, can_wait
from automart.background.schemas import Job
from automart.core.db import get_or_404, transaction
from automart.web import (
    ADMIN,
    Answer,
    Blueprint,
    Values,
    idempotent,
    page_of,
    paginate,
    requires,
    where_given,
)
from automart.webhooks import deliveries
from automart.webhooks.models import WebhookDelivery, WebhookEndpoint
from automart.webhooks.schemas import Delivery, DeliveryQuery

blp = Blueprint("webhooks", __name__, url_prefix="/v1", description="Webhook deliveries")


@blp.route("/webhook-deliveries")
class WebhookDeliveries(MethodView):
    @requires(ADMIN)
    @blp.arguments(DeliveryQuery, location="query")
    @blp.response(200, page_of(Delivery))
    def get(self, query: Values) -> Values:
        """List webhook deliveries with their attempts."""
        found = select(WebhookDelivery).options(joinedload(WebhookDelivery.endpoint))
        found = where_given(found, {WebhookDelivery.state: query["state"]})
        if query["regional_office_id"] is not None:
            endpoint_id = select(WebhookEndpoint.id).where(
                WebhookEndpoint.regional_office_id == query["regional_office_id"]
            )
            found = found.where(WebhookDelivery.endpoint_id == endpoint_id.scalar_subquery())
        return paginate(found, WebhookDelivery.id, query)


@blp.route("/webhook-deliveries/<id:delivery_id>")
class WebhookDeliveryById(MethodView):
    @requires(ADMIN)
    @blp.response(200, Delivery)
    def get(self, delivery_id: int) -> WebhookDelivery:
        """Get a webhook delivery with its attempts."""
        return get_or_404(WebhookDelivery, delivery_id)


@blp.route("/webhook-deliveries/<id:delivery_id>/redeliver")
class Redelivery(MethodView):
    @requires(ADMIN)
    @can_wait
    @idempotent
    @blp.response(202, Job)
    @blp.alt_response(409, "CONFLICT")
    @blp.doc(operationId="redeliverWebhook")
    def post(self, delivery_id: int) -> Answer:
        """Restart a delivery under the same `webhook-id`.

        The job delivers everything that is due to the same regional office.
        """
        with transaction():
            delivery = get_or_404(WebhookDelivery, delivery_id)
            chosen = select(WebhookDelivery).where(WebhookDelivery.id == delivery.id)
            job = deliveries.redeliver(delivery.endpoint_id, chosen)
        return accepted(job)
