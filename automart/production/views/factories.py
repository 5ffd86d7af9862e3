"""Factories and their charts."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, request
from flask.views import MethodView
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from automart.core.db import get_or_404, lock_or_404, transaction
from automart.core.errors import FIELDS_ARE_WRONG, Invalid
from automart.production import models, service
from automart.production.charts import series, svg
from automart.production.schemas import (
    MOST_POINTS,
    Chart,
    ChartQuery,
    Factory,
    FactoryChanges,
    FactoryListQuery,
    FactoryQuery,
    NewFactory,
)
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
    version_headers,
)
from automart.web.media_types import JSON, accepted_media_types

# Opened as a document of its own, a picture needs its own style, and nothing else.
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


@blp.route("/factories")
class Factories(MethodView):
    @requires(USER)
    @blp.arguments(FactoryListQuery, location="query")
    @blp.response(200, page_of(Factory))
    def get(self, query: Values) -> Values:
        """List factories, optionally with their charts."""
        with_chart_data = query.pop("with_chart_data")
        factories = select(models.Factory).options(
            joinedload(models.Factory.location, innerjoin=True)
        )
        page = paginate(factories, models.Factory.id, query)
        if with_chart_data:
            page["items"] = _with_charts(page["items"])
        return page

    @requires(USER)
    @blp.arguments(NewFactory)
    @idempotent
    @blp.response(201, Factory)
    def post(self, values: Values) -> Answer:
        """Create a factory, and the first point of its chart."""
        with transaction():
            factory = service.create_factory(values)
        return created(factory, "production.FactoryById", factory_id=factory.id)


@blp.route("/factories/<id:factory_id>")
class FactoryById(MethodView):
    @requires(USER)
    @blp.arguments(FactoryQuery, location="query")
    @blp.response(200, Factory)
    def get(self, query: Values, factory_id: int) -> models.Factory | Answer:
        """Get a factory, optionally with its chart.

        The `ETag` of either response can be sent as `If-Match`.
        """
        factory = get_or_404(models.Factory, factory_id)
        if not query["with_chart_data"]:
            return factory
        (charted,) = _with_charts([factory])
        # Points are only ever added, so their number is the version of the chart.
        return charted, 200, version_headers(factory, Factory, str(factory.chart_length))

    @requires(USER)
    @blp.arguments(FactoryChanges)
    @blp.response(200, Factory)
    def patch(self, changes: Values, factory_id: int) -> models.Factory:
        """Update a factory. Fields that are not sent keep their value.

        A new goal adds a point to the chart.
        """
        with transaction():
            factory = lock_or_404(models.Factory, factory_id)
            check_version(factory, Factory)
            service.update_factory(factory, changes)
        return factory

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, factory_id: int) -> None:
        """Delete a factory that has no sprockets, and its chart."""
        with transaction():
            factory = lock_or_404(models.Factory, factory_id, before_delete=True)
            check_version(factory, Factory)
            service.delete_factory(factory)


@blp.route("/factories/<id:factory_id>/chart")
class FactoryChart(MethodView):
    @requires(USER)
    @blp.arguments(ChartQuery, location="query")
    @blp.response(200, Chart)
    @blp.doc(responses={200: {"content": {svg.SVG: {"schema": {"type": "string"}}}}})
    def get(self, query: Values, factory_id: int) -> Answer | Response:
        """Get a factory's chart as data, or as a picture (`Accept: image/svg+xml`)."""
        start, end = query["start"], query["end"]
        if start is not None and end is not None and end < start:
            error = {"detail": "Must not be before `from`.", "parameter": "to"}
            raise Invalid(FIELDS_ARE_WRONG, errors=[error])
        factory = get_or_404(models.Factory, factory_id)
        span = series.find_span(factory, start, end)
        points = series.read_charts([span], query["points"])[factory.id]
        if not _prefers_picture():
            return series.chart_data(points), 200, {"Vary": "Accept"}
        response = Response(svg.draw_chart(factory.name, points, start, end), mimetype=svg.SVG)
        response.headers["Vary"] = "Accept"
        response.headers["Content-Security-Policy"] = PICTURE_POLICY
        response.add_etag()
        response.make_conditional(request)
        return response


def _with_charts(factories: Sequence[models.Factory]) -> list[Values]:
    spans = [series.full_span(factory) for factory in factories]
    charts = series.read_charts(spans, MOST_POINTS)
    schema = Factory()
    return [
        schema.dump(factory) | {"chart_data": series.chart_data(charts[factory.id])}
        for factory in factories
    ]


def _prefers_picture() -> bool:
    """Return whether the client prefers a picture to JSON (RFC 9110 §12.5.1)."""
    accepted = accepted_media_types()
    return accepted.quality(svg.SVG) > accepted.quality(JSON)
