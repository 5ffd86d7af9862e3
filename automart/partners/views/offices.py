"""Regional offices, their webhook secrets and their clients."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.core.db import get_or_404, transaction
from automart.partners import models, service
from automart.partners.schemas import (
    NewOffice,
    NewPartnerClient,
    Office,
    OfficeChanges,
    OfficeWithSecret,
    PartnerClientWithSecret,
)
from automart.partners.views.blueprint import blp, created_client
from automart.web import (
    ADMIN,
    Answer,
    PageQuery,
    Values,
    check_version,
    created,
    page_of,
    paginate,
    requires,
    secret_headers,
)


@blp.route("/regional-offices")
class RegionalOffices(MethodView):
    @requires(ADMIN)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(Office))
    def get(self, query: Values) -> Values:
        """List regional offices."""
        return paginate(select(models.RegionalOffice), models.RegionalOffice.id, query)

    @requires(ADMIN)
    @blp.arguments(NewOffice)
    # Not idempotent: the stored response would contain the secret.
    @blp.response(201, OfficeWithSecret)
    def post(self, values: Values) -> Answer:
        """Create a regional office.

        The secret that signs its webhooks is shown only in this response.
        """
        with transaction():
            office, secret = service.create_office(values)
        body = _with_secret(office, secret)
        shown, status, headers = created(body, "partners.RegionalOfficeById", office_id=office.id)
        return shown, status, headers | secret_headers(office, Office)


@blp.route("/regional-offices/<id:office_id>")
class RegionalOfficeById(MethodView):
    @requires(ADMIN)
    @blp.response(200, Office)
    def get(self, office_id: int) -> models.RegionalOffice:
        """Get a regional office."""
        return get_or_404(models.RegionalOffice, office_id)

    @requires(ADMIN)
    @blp.arguments(OfficeChanges)
    @blp.response(200, Office)
    def patch(self, changes: Values, office_id: int) -> models.RegionalOffice:
        """Update a regional office. Fields that are not sent keep their value.

        Pending deliveries fail when the webhook is disabled or loses its URL. They can be
        redelivered later.
        """
        with transaction():
            office = service.lock_office(office_id)
            check_version(office, Office)
            service.update_office(office, changes)
        return office

    @requires(ADMIN)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, office_id: int) -> None:
        """Delete a regional office that has no purchases, and its clients."""
        with transaction():
            office = service.lock_office(office_id, before_delete=True)
            check_version(office, Office)
            service.delete_office(office)


@blp.route("/regional-offices/<id:office_id>/rotate-webhook-secret")
class WebhookSecretOfOffice(MethodView):
    @requires(ADMIN)
    @blp.response(200, OfficeWithSecret)
    @blp.doc(operationId="rotateWebhookSecret")
    def post(self, office_id: int) -> Answer:
        """Create a new webhook secret, shown only in this response.

        For 24 hours the previous secret signs as well.
        """
        with transaction():
            office = service.lock_office(office_id)
            secret = service.rotate_office_secret(office)
        return _with_secret(office, secret), 200, secret_headers(office, Office)


@blp.route("/regional-offices/<id:office_id>/clients")
class ClientsOfOffice(MethodView):
    @requires(ADMIN)
    @blp.arguments(NewPartnerClient)
    # Not idempotent: the stored response would contain the secret.
    @blp.response(201, PartnerClientWithSecret)
    def post(self, values: Values, office_id: int) -> Answer:
        """Create a client for an office's systems. Its secret is shown only in this response."""
        with transaction():
            office = service.lock_office(office_id)
            client, secret = service.create_office_client(office, values["name"])
        return created_client(client, secret)


def _with_secret(office: models.RegionalOffice, secret: str) -> Values:
    return {**Office().dump(office), "webhook_secret": secret}
