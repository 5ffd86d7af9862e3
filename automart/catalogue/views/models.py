"""Models."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.catalogue import models
from automart.catalogue.schemas import ModelQuery, VehicleModel
from automart.catalogue.views.blueprint import blp
from automart.core.db import get_or_404
from automart.web import ANY, Values, page_of, paginate, requires, where_given


@blp.route("/models")
class Models(MethodView):
    @requires(ANY)
    @blp.arguments(ModelQuery, location="query")
    @blp.response(200, page_of(VehicleModel))
    def get(self, query: Values) -> Values:
        """List models."""
        filters = {
            models.VehicleModel.make_id: query["make_id"],
            models.VehicleModel.name_folded: query["name"],
        }
        return paginate(
            where_given(select(models.VehicleModel), filters), models.VehicleModel.id, query
        )


@blp.route("/models/<id:model_id>")
class ModelById(MethodView):
    @requires(ANY)
    @blp.response(200, VehicleModel)
    def get(self, model_id: int) -> models.VehicleModel:
        """Get a model."""
        return get_or_404(models.VehicleModel, model_id)
