"""Manufacturers and their clients."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.core.db import get_or_404, transaction
from automart.partners import models, service
from automart.partners.schemas import (
    Manufacturer,
    ManufacturerChanges,
    NewManufacturer,
    NewPartnerClient,
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
    idempotent,
    page_of,
    paginate,
    requires,
)


@blp.route("/manufacturers")
class Manufacturers(MethodView):
    @requires(ADMIN)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(Manufacturer))
    def get(self, query: Values) -> Values:
        """List manufacturers."""
        return paginate(select(models.Manufacturer), models.Manufacturer.id, query)

    @requires(ADMIN)
    @blp.arguments(NewManufacturer)
    @idempotent
    @blp.response(201, Manufacturer)
    def post(self, values: Values) -> Answer:
        """Create a manufacturer."""
        with transaction():
            manufacturer = service.create_manufacturer(values)
        return created(manufacturer, "partners.ManufacturerById", manufacturer_id=manufacturer.id)


@blp.route("/manufacturers/<id:manufacturer_id>")
class ManufacturerById(MethodView):
    @requires(ADMIN)
    @blp.response(200, Manufacturer)
    def get(self, manufacturer_id: int) -> models.Manufacturer:
        """Get a manufacturer."""
        return get_or_404(models.Manufacturer, manufacturer_id)

    @requires(ADMIN)
    @blp.arguments(ManufacturerChanges)
    @blp.response(200, Manufacturer)
    def patch(self, changes: Values, manufacturer_id: int) -> models.Manufacturer:
        """Update a manufacturer. Fields that are not sent keep their value.

        `make_ids` replaces all makes.
        """
        with transaction():
            manufacturer = service.lock_manufacturer(manufacturer_id)
            check_version(manufacturer, Manufacturer)
            service.update_manufacturer(manufacturer, changes)
        return manufacturer

    @requires(ADMIN)
    @blp.response(204)
    def delete(self, manufacturer_id: int) -> None:
        """Delete a manufacturer and its clients."""
        with transaction():
            manufacturer = service.lock_manufacturer(manufacturer_id, before_delete=True)
            check_version(manufacturer, Manufacturer)
            service.delete_manufacturer(manufacturer)


@blp.route("/manufacturers/<id:manufacturer_id>/clients")
class ClientsOfManufacturer(MethodView):
    @requires(ADMIN)
    @blp.arguments(NewPartnerClient)
    # Not idempotent: the stored response would contain the secret.
    @blp.response(201, PartnerClientWithSecret)
    def post(self, values: Values, manufacturer_id: int) -> Answer:
        """Create a client for a manufacturer's systems.

        Its secret is shown only in this response.
        """
        with transaction():
            manufacturer = service.lock_manufacturer(manufacturer_id)
            client, secret = service.create_manufacturer_client(manufacturer, values["name"])
        return created_client(client, secret)
