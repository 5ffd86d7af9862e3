"""Models."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.catalogue.models import VehicleModel
from automart.catalogue.schemas import Model, ModelQuery
from automart.catalogue.views.blueprint import blp
from automart.core.db import get_or_404
from automart.web import ANY, Values, page_of, paginate, requires, where_given


@blp.route("/models")
class Models(MethodView):
    @requires(ANY)
    @blp.arguments(ModelQuery, location="query")
    @blp.response(200, page_of(Model))
    def get(self, query: Values) -> Values:
        """List models."""
        filters = {
            VehicleModel.make_id: query["make_id"],
            VehicleModel.name_folded: query["name"],
        }
        return paginate(where_given(select(VehicleModel), filters), VehicleModel.id, query)


@blp.route("/models/<id:model_id>")
class ModelById(MethodView):
    @requires(ANY)
    @blp.response(200, Model)
    def get(self, model_id: int) -> VehicleModel:
        """Get a model."""
        return get_or_404(VehicleModel, model_id)
