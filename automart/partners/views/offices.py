"""Regional offices, their webhook secrets and their clients."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.accounts.auth import ADMIN, requires
from automart.api import (
    Answer,
    Values,
    check_version,
    created,
    page_of,
    paginate,
    secret_headers,
)
from automart.db import get_or_404, transaction
from automart.partners import service
from automart.partners.models import RegionalOffice
from automart.partners.schemas import (
    OfficeChanges,
    OfficeSchema,
    OfficeWithSecretSchema,
    PartnerClientRequest,
    PartnerClientWithSecretSchema,
    PartnerQuery,
)
from automart.partners.views.blueprint import blp, created_client


@blp.route("/regional-offices")
class RegionalOffices(MethodView):
    @requires(ADMIN)
    @blp.arguments(PartnerQuery, location="query")
    @blp.response(200, page_of(OfficeSchema))
    def get(self, query: Values) -> Values:
        """List regional offices."""
        return paginate(select(RegionalOffice), RegionalOffice.id, query)

    @requires(ADMIN)
    @blp.arguments(OfficeSchema)
    @blp.response(201, OfficeWithSecretSchema)
    def post(self, values: Values) -> Answer:
        """Create a regional office.

        The secret that signs its webhooks is shown only in this response.
        """
        with transaction():
            office, secret = service.create_office(values)
        body = _with_secret(office, secret)
        shown, status, headers = created(body, "partners.RegionalOfficeById", office_id=office.id)
        return shown, status, headers | secret_headers(office, OfficeSchema)


@blp.route("/regional-offices/<id:office_id>")
class RegionalOfficeById(MethodView):
    @requires(ADMIN)
    @blp.response(200, OfficeSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def get(self, office_id: int) -> RegionalOffice:
        """Get a regional office."""
        return get_or_404(RegionalOffice, office_id)

    @requires(ADMIN)
    @blp.arguments(OfficeChanges)
    @blp.response(200, OfficeSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def patch(self, changes: Values, office_id: int) -> RegionalOffice:
        """Update a regional office. Fields that are not sent keep their value.

        Pending deliveries fail when the webhook is disabled or loses its URL. They can be
        redelivered later.
        """
        with transaction():
            office = service.lock_office(office_id)
            check_version(office, OfficeSchema)
            service.update_office(office, changes)
        return office

    @requires(ADMIN)
    @blp.response(204)
    @blp.alt_response(404, "NOT_FOUND")
    @blp.alt_response(409, "CONFLICT")
    def delete(self, office_id: int) -> None:
        """Delete a regional office that has no purchases, and its clients."""
        with transaction():
            office = service.lock_office(office_id, before_delete=True)
            check_version(office, OfficeSchema)
            service.delete_office(office)


@blp.route("/regional-offices/<id:office_id>/rotate-webhook-secret")
class WebhookSecretOfOffice(MethodView):
    @requires(ADMIN)
    @blp.response(200, OfficeWithSecretSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def post(self, office_id: int) -> Answer:
        """Create a new webhook secret, shown only in this response.

        For 24 hours the previous secret signs as well.
        """
        with transaction():
            office = service.lock_office(office_id)
            secret = service.rotate_secret(office)
        return _with_secret(office, secret), 200, secret_headers(office, OfficeSchema)


@blp.route("/regional-offices/<id:office_id>/clients")
class ClientsOfOffice(MethodView):
    @requires(ADMIN)
    @blp.arguments(PartnerClientRequest)
    @blp.response(201, PartnerClientWithSecretSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def post(self, values: Values, office_id: int) -> Answer:
        """Create a client for an office's systems. Its secret is shown only in this response."""
        with transaction():
            office = service.lock_office(office_id)
            client, secret = service.create_office_client(office, values["name"])
        return created_client(client, secret)


def _with_secret(office: RegionalOffice, secret: str) -> Values:
    return {**OfficeSchema().dump(office), "webhook_secret": secret}
