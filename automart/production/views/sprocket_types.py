"""The types of sprockets."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from sqlalchemy import Row

from automart.core.db import lock_or_404, read_or_404, rows_of, transaction
from automart.production import models, service
from automart.production.schemas import NewSprocketType, SprocketType, SprocketTypeChanges
from automart.production.views.blueprint import blp
from automart.web import (
    USER,
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


@blp.route("/sprocket-types")
class SprocketTypes(MethodView):
    @requires(USER)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(SprocketType))
    def get(self, query: Values) -> Values:
        """List sprocket types."""
        return paginate(rows_of(models.SprocketType), models.SprocketType.id, query)

    @requires(USER)
    @blp.arguments(NewSprocketType)
    @idempotent
    @blp.response(201, SprocketType)
    def post(self, values: Values) -> Answer:
        """Create a sprocket type."""
        with transaction():
            sprocket_type = service.create_sprocket_type(values)
        return created(
            sprocket_type, "production.SprocketTypeById", sprocket_type_id=sprocket_type.id
        )


@blp.route("/sprocket-types/<id:sprocket_type_id>")
class SprocketTypeById(MethodView):
    @requires(USER)
    @blp.response(200, SprocketType)
    def get(self, sprocket_type_id: int) -> Row[Any]:
        """Get a sprocket type."""
        return read_or_404(models.SprocketType, sprocket_type_id)

    @requires(USER)
    @blp.arguments(SprocketTypeChanges)
    @blp.response(200, SprocketType)
    def patch(self, changes: Values, sprocket_type_id: int) -> models.SprocketType:
        """Update a sprocket type. Fields that are not sent keep their value."""
        with transaction():
            sprocket_type = lock_or_404(models.SprocketType, sprocket_type_id)
            check_version(sprocket_type, SprocketType)
            service.update_sprocket_type(sprocket_type, changes)
        return sprocket_type

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, sprocket_type_id: int) -> None:
        """Delete a sprocket type that has no sprockets."""
        with transaction():
            sprocket_type = lock_or_404(models.SprocketType, sprocket_type_id, before_delete=True)
            check_version(sprocket_type, SprocketType)
            service.delete_sprocket_type(sprocket_type)
