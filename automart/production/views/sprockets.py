"""Sprockets."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from sqlalchemy import Row

from automart.core.db import lock_or_404, read_or_404, rows_of, transaction
from automart.production import models, service
from automart.production.schemas import NewSprocket, Sprocket, SprocketChanges, SprocketQuery
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


@blp.route("/sprockets")
class Sprockets(MethodView):
    @requires(USER)
    @blp.arguments(SprocketQuery, location="query")
    @blp.response(200, page_of(Sprocket))
    def get(self, query: Values) -> Values:
        """List sprockets."""
        filters = {
            models.Sprocket.factory_id: query["factory_id"],
            models.Sprocket.sprocket_type_id: query["sprocket_type_id"],
        }
        sprockets = where_given(rows_of(models.Sprocket), filters)
        return paginate(sprockets, models.Sprocket.id, query)

    @requires(USER)
    @blp.arguments(NewSprocket)
    @idempotent
    @blp.response(201, Sprocket)
    def post(self, values: Values) -> Answer:
        """Create a sprocket, which its factory counts."""
        with transaction():
            sprocket = service.create_sprocket(values)
        return created(sprocket, "production.SprocketById", sprocket_id=sprocket.id)


@blp.route("/sprockets/<id:sprocket_id>")
class SprocketById(MethodView):
    @requires(USER)
    @blp.response(200, Sprocket)
    def get(self, sprocket_id: int) -> Row[Any]:
        """Get a sprocket."""
        return read_or_404(models.Sprocket, sprocket_id)

    @requires(USER)
    @blp.arguments(SprocketChanges)
    @blp.response(200, Sprocket)
    def patch(self, changes: Values, sprocket_id: int) -> models.Sprocket:
        """Update a sprocket. Fields that are not sent keep their value.

        A new `factory_id` moves it: the other factory counts it instead.
        """
        with transaction():
            sprocket = lock_or_404(models.Sprocket, sprocket_id)
            check_version(sprocket, Sprocket)
            service.update_sprocket(sprocket, changes)
        return sprocket

    @requires(USER)
    @blp.response(204)
    def delete(self, sprocket_id: int) -> None:
        """Delete a sprocket. Its factory no longer counts it."""
        with transaction():
            sprocket = lock_or_404(models.Sprocket, sprocket_id, before_delete=True)
            check_version(sprocket, Sprocket)
            service.delete_sprocket(sprocket)
