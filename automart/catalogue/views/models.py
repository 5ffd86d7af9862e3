"""Models."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.catalogue import models, service
from automart.catalogue.schemas import (
    ModelQuery,
    NewVehicleModel,
    VehicleModel,
    VehicleModelChanges,
)
from automart.catalogue.views.blueprint import blp
from automart.core.db import get_or_404, transaction
from automart.web import (
    ADMIN,
    ANY,
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

    @requires(ADMIN, scope="catalogue")
    @blp.arguments(NewVehicleModel)
    @idempotent
    @blp.response(201, VehicleModel)
    @blp.alt_response(409, "CONFLICT")
    def post(self, values: Values) -> Answer:
        """Create a model of our own, which NHTSA does not have."""
        with transaction():
            model = service.create_model(values)
        return created(model, "catalogue.ModelById", model_id=model.id)


@blp.route("/models/<id:model_id>")
class ModelById(MethodView):
    @requires(ANY)
    @blp.response(200, VehicleModel)
    def get(self, model_id: int) -> models.VehicleModel:
        """Get a model."""
        return get_or_404(models.VehicleModel, model_id)

    @requires(ADMIN, scope="catalogue")
    @blp.arguments(VehicleModelChanges)
    @blp.response(200, VehicleModel)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, model_id: int) -> models.VehicleModel:
        """Rename a model of our own."""
        with transaction():
            model = service.lock_own_model(model_id)
            check_version(model, VehicleModel)
            service.update_model(model, changes)
        return model

    @requires(ADMIN, scope="catalogue")
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, model_id: int) -> None:
        """Delete a model of our own. Cars keep its name."""
        with transaction():
            model = service.lock_own_model(model_id)
            check_version(model, VehicleModel)
            service.delete_model(model)
