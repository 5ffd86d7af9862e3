"""Regional offices, manufacturers, and the clients that speak for them."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.accounts import audit
from automart.accounts.auth import ADMIN, requires
from automart.accounts.models import Client
from automart.accounts.schemas import ClientSchema, with_secret
from automart.api import (
    Answer,
    Blueprint,
    Values,
    absolute_url,
    check_version,
    idempotent,
    page_of,
    paginate,
    secret_headers,
)
from automart.db import db, get_or_404, transaction
from automart.purchases import deliveries, partners, service, signing
from automart.purchases.models import Manufacturer, RegionalOffice
from automart.purchases.schemas import (
    ManufacturerChanges,
    ManufacturerSchema,
    OfficeChanges,
    OfficeSchema,
    OfficeWithSecretSchema,
    PartnerClientRequest,
    PartnerClientWithSecretSchema,
    PartnerQuery,
)

blp = Blueprint("partners", __name__, url_prefix="/v1", description="Offices and manufacturers")


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
        """Add a regional office. The secret that signs its webhooks is shown only now."""
        with transaction():
            office = RegionalOffice(**values)
            db.session.add(office)
            db.session.flush()  # gives office.id
            secret = signing.rotate(office.id)
        location = absolute_url("partners.RegionalOfficeById", office_id=office.id)
        return _with_secret(office, secret, 201, {"Location": location})


@blp.route("/regional-offices/<id:office_id>")
class RegionalOfficeById(MethodView):
    @requires(ADMIN)
    @blp.response(200, OfficeSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def get(self, office_id: int) -> RegionalOffice:
        """Read a regional office."""
        return get_or_404(RegionalOffice, office_id)

    @requires(ADMIN)
    @blp.arguments(OfficeChanges)
    @blp.response(200, OfficeSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def patch(self, changes: Values, office_id: int) -> RegionalOffice:
        """Change the fields that are sent. What is on its way when a webhook is disabled, or loses
        its URL, has failed; it can be redelivered."""
        with transaction():
            office = deliveries.lock_office(office_id)
            check_version(office, OfficeSchema)
            deliveries.change_office(office, changes)
        return office

    @requires(ADMIN)
    @blp.response(204)
    @blp.alt_response(404, "NOT_FOUND")
    @blp.alt_response(409, "CONFLICT")
    def delete(self, office_id: int) -> None:
        """Delete a regional office that has sold nothing, and its clients."""
        with transaction():
            office = get_or_404(RegionalOffice, office_id, lock=True)
            check_version(office, OfficeSchema)
            service.check_has_sold_nothing(office)
            partners.delete_partner(office)


@blp.route("/regional-offices/<id:office_id>/rotate-webhook-secret")
class WebhookSecretOfOffice(MethodView):
    @requires(ADMIN)
    @blp.response(200, OfficeWithSecretSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def post(self, office_id: int) -> Answer:
        """Sign with a new secret, shown only now. For 24 hours the old one signs beside it."""
        with transaction():
            office = deliveries.lock_office(office_id)
            secret = signing.rotate(office.id)
            subject = f"regional_office:{office.id}"
            audit.record(audit.Event.WEBHOOK_SECRET_ROTATED, subject=subject)
        return _with_secret(office, secret, 200, {})


@blp.route("/regional-offices/<id:office_id>/clients")
class ClientsOfOffice(MethodView):
    @requires(ADMIN)
    @blp.arguments(PartnerClientRequest)
    @blp.response(201, PartnerClientWithSecretSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def post(self, values: Values, office_id: int) -> Answer:
        """Add a client for an office's systems. Its secret is shown only now."""
        with transaction():
            office = deliveries.lock_office(office_id)
            client, secret = partners.add_client_of(office, values["name"])
        return _created(client, secret)


@blp.route("/manufacturers")
class Manufacturers(MethodView):
    @requires(ADMIN)
    @blp.arguments(PartnerQuery, location="query")
    @blp.response(200, page_of(ManufacturerSchema))
    def get(self, query: Values) -> Values:
        """List manufacturers."""
        return paginate(select(Manufacturer), Manufacturer.id, query)

    @requires(ADMIN)
    @idempotent
    @blp.arguments(ManufacturerSchema)
    @blp.response(201, ManufacturerSchema)
    def post(self, values: Values) -> Answer:
        """Add a manufacturer of these makes."""
        with transaction():
            manufacturer = Manufacturer(name=values["name"])
            partners.make_for(manufacturer, values["make_ids"])
            db.session.add(manufacturer)
            db.session.flush()
        here = absolute_url("partners.ManufacturerById", manufacturer_id=manufacturer.id)
        return manufacturer, 201, {"Location": here}


@blp.route("/manufacturers/<id:manufacturer_id>")
class ManufacturerById(MethodView):
    @requires(ADMIN)
    @blp.response(200, ManufacturerSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def get(self, manufacturer_id: int) -> Manufacturer:
        """Read a manufacturer."""
        return get_or_404(Manufacturer, manufacturer_id)

    @requires(ADMIN)
    @blp.arguments(ManufacturerChanges)
    @blp.response(200, ManufacturerSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def patch(self, changes: Values, manufacturer_id: int) -> Manufacturer:
        """Change the fields that are sent. `make_ids` replaces all."""
        with transaction():
            manufacturer = get_or_404(Manufacturer, manufacturer_id, lock=True)
            check_version(manufacturer, ManufacturerSchema)
            make_ids = changes.pop("make_ids", None)
            if make_ids is not None:
                partners.make_for(manufacturer, make_ids)
            manufacturer.update(changes)
        return manufacturer

    @requires(ADMIN)
    @blp.response(204)
    @blp.alt_response(404, "NOT_FOUND")
    def delete(self, manufacturer_id: int) -> None:
        """Delete a manufacturer and its clients."""
        with transaction():
            manufacturer = get_or_404(Manufacturer, manufacturer_id, lock=True)
            check_version(manufacturer, ManufacturerSchema)
            partners.delete_partner(manufacturer)


@blp.route("/manufacturers/<id:manufacturer_id>/clients")
class ClientsOfManufacturer(MethodView):
    @requires(ADMIN)
    @blp.arguments(PartnerClientRequest)
    @blp.response(201, PartnerClientWithSecretSchema)
    @blp.alt_response(404, "NOT_FOUND")
    def post(self, values: Values, manufacturer_id: int) -> Answer:
        """Add a client for a manufacturer's systems. Its secret is shown only now."""
        with transaction():
            manufacturer = get_or_404(Manufacturer, manufacturer_id, lock=True)
            client, secret = partners.add_client_of(manufacturer, values["name"])
        return _created(client, secret)


def _with_secret(
    office: RegionalOffice, secret: str, status: int, headers: dict[str, str]
) -> Answer:
    shown = OfficeSchema().dump(office) | {"webhook_secret": secret}
    return shown, status, headers | secret_headers(office, OfficeSchema)


def _created(client: Client, secret: str) -> Answer:
    location = {"Location": absolute_url("accounts.ClientById", client_id=client.id)}
    return with_secret(client, secret), 201, location | secret_headers(client, ClientSchema)
