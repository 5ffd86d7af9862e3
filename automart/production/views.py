"""Locations, sprocket types, factories with their charts, and sprockets."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, request
from flask.views import MethodView
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from automart.core.db import db, get_or_404, transaction
from automart.core.errors import FIELDS_ARE_WRONG, Invalid, VersionMismatch
from automart.core.text import casefold_key
from automart.production import service
from automart.production.charts import series, svg
from automart.production.models import Factory, Location, Sprocket, SprocketType
from automart.production.schemas import (
    MOST_POINTS,
    ChartQuery,
    ChartSchema,
    FactoryChanges,
    FactoryListQuery,
    FactoryQuery,
    FactorySchema,
    LocationChanges,
    LocationQuery,
    LocationSchema,
    SprocketChanges,
    SprocketQuery,
    SprocketSchema,
    SprocketTypeChanges,
    SprocketTypeQuery,
    SprocketTypeSchema,
)
from automart.web import (
    USER,
    Answer,
    Blueprint,
    Values,
    absolute_url,
    check_version,
    idempotent,
    page_of,
    paginate,
    requires,
)
from automart.web.media_types import JSON

blp = Blueprint(
    "production", __name__, url_prefix="/v1", description="Factories and the sprockets they make"
)


@blp.route("/locations")
class Locations(MethodView):
    @requires(USER)
    @blp.arguments(LocationQuery, location="query")
    @blp.response(200, page_of(LocationSchema))
    def get(self, query: Values) -> Values:
        """List locations."""
        locations = select(Location)
        if query["postal_code"] is not None:
            folded = casefold_key(query["postal_code"])
            locations = locations.where(Location.postal_code_folded == folded)
        return paginate(locations, Location.id, query)

    @requires(USER)
    @blp.arguments(LocationSchema)
    @idempotent
    @blp.response(201, LocationSchema)
    def post(self, values: Values) -> Answer:
        """Add a location."""
        with transaction():
            location = Location(**values)
            db.session.add(location)
            db.session.flush()  # gives location.id, also where this is a part of a transaction
        url = absolute_url("production.LocationById", location_id=location.id)
        return location, 201, {"Location": url}


@blp.route("/locations/<id:location_id>")
class LocationById(MethodView):
    @requires(USER)
    @blp.response(200, LocationSchema)
    def get(self, location_id: int) -> Location:
        """Read a location."""
        return get_or_404(Location, location_id)

    @requires(USER)
    @blp.arguments(LocationChanges(partial=True))
    @blp.response(200, LocationSchema)
    def patch(self, changes: Values, location_id: int) -> Location:
        """Change the fields that are sent and leave the others."""
        with transaction():
            location = get_or_404(Location, location_id, lock=True)
            check_version(location, LocationSchema)
            location.update(changes)
        return location

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, location_id: int) -> None:
        """Delete a location that has no factories."""
        with transaction():
            location = get_or_404(Location, location_id, lock=True)
            check_version(location, LocationSchema)
            service.delete_location(location)


@blp.route("/sprocket-types")
class SprocketTypes(MethodView):
    @requires(USER)
    @blp.arguments(SprocketTypeQuery, location="query")
    @blp.response(200, page_of(SprocketTypeSchema))
    def get(self, query: Values) -> Values:
        """List sprocket types."""
        return paginate(select(SprocketType), SprocketType.id, query)

    @requires(USER)
    @blp.arguments(SprocketTypeSchema)
    @idempotent
    @blp.response(201, SprocketTypeSchema)
    def post(self, values: Values) -> Answer:
        """Add a sprocket type."""
        with transaction():
            kind = service.create_type(values)
        url = absolute_url("production.SprocketTypeById", sprocket_type_id=kind.id)
        return kind, 201, {"Location": url}


@blp.route("/sprocket-types/<id:sprocket_type_id>")
class SprocketTypeById(MethodView):
    @requires(USER)
    @blp.response(200, SprocketTypeSchema)
    def get(self, sprocket_type_id: int) -> SprocketType:
        """Read a sprocket type."""
        return get_or_404(SprocketType, sprocket_type_id)

    @requires(USER)
    @blp.arguments(SprocketTypeChanges(partial=True))
    @blp.response(200, SprocketTypeSchema)
    def patch(self, changes: Values, sprocket_type_id: int) -> SprocketType:
        """Change the fields that are sent and leave the others."""
        with transaction():
            kind = get_or_404(SprocketType, sprocket_type_id, lock=True)
            check_version(kind, SprocketTypeSchema)
            service.change_type(kind, changes)
        return kind

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, sprocket_type_id: int) -> None:
        """Delete a type of which there are no sprockets."""
        with transaction():
            kind = get_or_404(SprocketType, sprocket_type_id, lock=True)
            check_version(kind, SprocketTypeSchema)
            service.delete_type(kind)


@blp.route("/factories")
class Factories(MethodView):
    @requires(USER)
    @blp.arguments(FactoryListQuery, location="query")
    @blp.response(200, page_of(FactorySchema))
    def get(self, query: Values) -> Values:
        """List factories, with their charts if wanted."""
        with_chart_data = query.pop("with_chart_data")
        factories = select(Factory).options(joinedload(Factory.location, innerjoin=True))
        page = paginate(factories, Factory.id, query)
        if with_chart_data:
            _show_charts(page["items"])
        return page

    @requires(USER)
    @blp.arguments(FactorySchema)
    @idempotent
    @blp.response(201, FactorySchema)
    def post(self, values: Values) -> Answer:
        """Add a factory at a location. Its chart begins."""
        with transaction():
            factory = service.create_factory(values)
        url = absolute_url("production.FactoryById", factory_id=factory.id)
        return factory, 201, {"Location": url}


@blp.route("/factories/<id:factory_id>")
class FactoryById(MethodView):
    @requires(USER)
    @blp.arguments(FactoryQuery, location="query")
    @blp.response(200, FactorySchema)
    def get(self, query: Values, factory_id: int) -> Factory:
        """Read a factory, with its chart if wanted."""
        factory = get_or_404(Factory, factory_id)
        if query["with_chart_data"]:
            _show_charts([factory])
        return factory

    @requires(USER)
    @blp.arguments(FactoryChanges(partial=True))
    @blp.response(200, FactorySchema)
    def patch(self, changes: Values, factory_id: int) -> Factory:
        """Change the fields that are sent and leave the others. A new goal is charted."""
        with transaction():
            factory = get_or_404(Factory, factory_id, lock=True)
            _check_version(factory)
            service.change_factory(factory, changes)
        return factory

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, factory_id: int) -> None:
        """Delete a factory that has no sprockets, together with its chart."""
        with transaction():
            factory = get_or_404(Factory, factory_id, lock=True)
            _check_version(factory)
            service.delete_factory(factory)


@blp.route("/factories/<id:factory_id>/chart")
class FactoryChart(MethodView):
    @requires(USER)
    @blp.arguments(ChartQuery, location="query")
    @blp.response(200, ChartSchema)
    @blp.doc(responses={200: {"content": {svg.SVG: {"schema": {"type": "string"}}}}})
    def get(self, query: Values, factory_id: int) -> Answer | Response:
        """Read a factory's chart, as data or (`Accept: image/svg+xml`) as a picture."""
        start, end = query["start"], query["end"]
        if start is not None and end is not None and end < start:
            error = {"detail": "Must not be before `from`.", "parameter": "to"}
            raise Invalid(FIELDS_ARE_WRONG, errors=[error])
        factory = get_or_404(Factory, factory_id)
        span = series.between(factory, start, end)
        points = series.read([span], query["points"])[factory.id]
        if not _wants_picture():
            return series.as_data(points), 200, {"Vary": "Accept"}
        response = Response(svg.draw(factory.name, points, start, end), mimetype=svg.SVG)
        response.headers["Vary"] = "Accept"
        response.add_etag()
        response.make_conditional(request)
        return response


@blp.route("/sprockets")
class Sprockets(MethodView):
    @requires(USER)
    @blp.arguments(SprocketQuery, location="query")
    @blp.response(200, page_of(SprocketSchema))
    def get(self, query: Values) -> Values:
        """List sprockets."""
        sprockets = select(Sprocket)
        for name in ("factory_id", "sprocket_type_id"):
            if query[name] is not None:
                sprockets = sprockets.where(getattr(Sprocket, name) == query[name])
        return paginate(sprockets, Sprocket.id, query)

    @requires(USER)
    @blp.arguments(SprocketSchema)
    @idempotent
    @blp.response(201, SprocketSchema)
    def post(self, values: Values) -> Answer:
        """Add a sprocket that a factory has made."""
        with transaction():
            sprocket = service.create_sprocket(values)
        url = absolute_url("production.SprocketById", sprocket_id=sprocket.id)
        return sprocket, 201, {"Location": url}


@blp.route("/sprockets/<id:sprocket_id>")
class SprocketById(MethodView):
    @requires(USER)
    @blp.response(200, SprocketSchema)
    def get(self, sprocket_id: int) -> Sprocket:
        """Read a sprocket."""
        return get_or_404(Sprocket, sprocket_id)

    @requires(USER)
    @blp.arguments(SprocketChanges(partial=True))
    @blp.response(200, SprocketSchema)
    def patch(self, changes: Values, sprocket_id: int) -> Sprocket:
        """Change the fields that are sent and leave the others. Moved, it counts elsewhere."""
        with transaction():
            sprocket = get_or_404(Sprocket, sprocket_id, lock=True)
            check_version(sprocket, SprocketSchema)
            service.change_sprocket(sprocket, changes)
        return sprocket

    @requires(USER)
    @blp.response(204)
    def delete(self, sprocket_id: int) -> None:
        """Delete a sprocket. It counts no more."""
        with transaction():
            sprocket = get_or_404(Sprocket, sprocket_id, lock=True)
            check_version(sprocket, SprocketSchema)
            service.delete_sprocket(sprocket)


def _show_charts(factories: Sequence[Factory]) -> None:
    charts = series.read([series.whole(factory) for factory in factories], MOST_POINTS)
    for factory in factories:
        factory.show_chart(series.as_data(charts[factory.id]))


def _check_version(factory: Factory) -> None:
    """As `check_version`, also for one who has read the factory together with its chart."""
    try:
        check_version(factory, FactorySchema)
    except VersionMismatch:
        _show_charts([factory])
        check_version(factory, FactorySchema)
        del factory.chart_data


def _wants_picture() -> bool:
    """Whether a picture is preferred (RFC 9110 §12.5.1) to data, which are the default."""
    accepted = request.accept_mimetypes
    return accepted.quality(svg.SVG) > accepted.quality(JSON)
