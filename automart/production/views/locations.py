"""The locations of factories."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from sqlalchemy import Row

from automart.core.db import lock_or_404, read_or_404, rows_of, transaction
from automart.core.text import casefold_key
from automart.production import models, service
from automart.production.schemas import Location, LocationChanges, LocationQuery, NewLocation
from automart.production.views.blueprint import blp
from automart.web import (
    USER,
    Answer,
    Values,
    check_version,
    created,
    idempotent,
    page_of,
    paginate,
    requires,
    where_given,
)


@blp.route("/locations")
class Locations(MethodView):
    @requires(USER)
    @blp.arguments(LocationQuery, location="query")
    @blp.response(200, page_of(Location))
    def get(self, query: Values) -> Values:
        """List locations."""
        postal_code = query["postal_code"]
        folded = None if postal_code is None else casefold_key(postal_code)
        locations = where_given(
            rows_of(models.Location), {models.Location.postal_code_folded: folded}
        )
        return paginate(locations, models.Location.id, query)

    @requires(USER)
    @blp.arguments(NewLocation)
    @idempotent
    @blp.response(201, Location)
    def post(self, values: Values) -> Answer:
        """Create a location."""
        with transaction():
            location = service.create_location(values)
        return created(location, "production.LocationById", location_id=location.id)


@blp.route("/locations/<id:location_id>")
class LocationById(MethodView):
    @requires(USER)
    @blp.response(200, Location)
    def get(self, location_id: int) -> Row[Any]:
        """Get a location."""
        return read_or_404(models.Location, location_id)

    @requires(USER)
    @blp.arguments(LocationChanges)
    @blp.response(200, Location)
    def patch(self, changes: Values, location_id: int) -> models.Location:
        """Update a location. Fields that are not sent keep their value."""
        with transaction():
            location = lock_or_404(models.Location, location_id)
            check_version(location, Location)
            service.update_location(location, changes)
        return location

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, location_id: int) -> None:
        """Delete a location that has no factories."""
        with transaction():
            location = lock_or_404(models.Location, location_id, before_delete=True)
            check_version(location, Location)
            service.delete_location(location)
