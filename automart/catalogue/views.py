"""Makes, models, and the order for a sync."""

from __future__ import annotations

from flask.views import MethodView
from sqlalchemy import select

from automart.background.prefer_wait import accepted, can_wait
from automart.background.schemas import Job
from automart.catalogue import service
from automart.catalogue.models import VehicleMake, VehicleModel
from automart.catalogue.schemas import (
    MakeChanges,
    MakeQuery,
    MakeSchema,
    ModelOfMakeQuery,
    ModelQuery,
    ModelSchema,
    VehicleSyncRequest,
)
from automart.core.db import db, get_or_404, transaction
from automart.core.text import casefold_key
from automart.web import (
    ADMIN,
    ANY,
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

blp = Blueprint("catalogue", __name__, url_prefix="/v1", description="Vehicle makes and models")


@blp.route("/makes")
class Makes(MethodView):
    @requires(ANY)
    @blp.arguments(MakeQuery, location="query")
    @blp.response(200, page_of(MakeSchema))
    def get(self, query: Values) -> Values:
        """List makes."""
        makes = select(VehicleMake)
        if query["name"] is not None:
            makes = makes.where(VehicleMake.name_folded == casefold_key(query["name"]))
        return paginate(makes, VehicleMake.id, query)

    @requires(ADMIN, scope="catalogue")
    @blp.arguments(MakeSchema)
    @idempotent
    @blp.response(201, MakeSchema)
    @blp.alt_response(409, "CONFLICT")
    def post(self, values: Values) -> Answer:
        """Add a make under NHTSA's id. The next sync brings its models."""
        with transaction():
            make = VehicleMake(**values)
            db.session.add(make)
        return make, 201, {"Location": absolute_url("catalogue.MakeById", make_id=make.id)}


@blp.route("/makes/<id:make_id>")
class MakeById(MethodView):
    @requires(ANY)
    @blp.response(200, MakeSchema)
    def get(self, make_id: int) -> VehicleMake:
        """Read a make."""
        return get_or_404(VehicleMake, make_id)

    @requires(ADMIN, scope="catalogue")
    @blp.arguments(MakeChanges)
    @blp.response(200, MakeSchema)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, make_id: int) -> VehicleMake:
        """Rename a make."""
        with transaction():
            make = get_or_404(VehicleMake, make_id, lock=True)
            check_version(make, MakeSchema)
            make.update(changes)
        return make

    @requires(ADMIN, scope="catalogue")
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, make_id: int) -> None:
        """Delete a make together with its models."""
        with transaction():
            make = get_or_404(VehicleMake, make_id, lock=True)
            check_version(make, MakeSchema)
            db.session.delete(make)


@blp.route("/makes/<id:make_id>/models")
class ModelsOfMake(MethodView):
    @requires(ANY)
    @blp.arguments(ModelOfMakeQuery, location="query")
    @blp.response(200, page_of(ModelSchema))
    def get(self, query: Values, make_id: int) -> Values:
        """List the models of a make."""
        make = get_or_404(VehicleMake, make_id)
        models = select(VehicleModel).where(VehicleModel.make_id == make.id)
        return paginate(models, VehicleModel.id, query)


@blp.route("/models")
class Models(MethodView):
    @requires(ANY)
    @blp.arguments(ModelQuery, location="query")
    @blp.response(200, page_of(ModelSchema))
    def get(self, query: Values) -> Values:
        """List models."""
        models = select(VehicleModel)
        if query["make_id"] is not None:
            models = models.where(VehicleModel.make_id == query["make_id"])
        if query["name"] is not None:
            models = models.where(VehicleModel.name_folded == casefold_key(query["name"]))
        return paginate(models, VehicleModel.id, query)


@blp.route("/models/<id:model_id>")
class ModelById(MethodView):
    @requires(ANY)
    @blp.response(200, ModelSchema)
    def get(self, model_id: int) -> VehicleModel:
        """Read a model."""
        return get_or_404(VehicleModel, model_id)


@blp.route("/vehicle-syncs")
class VehicleSyncs(MethodView):
    @requires(ADMIN, scope="catalogue")
    @can_wait
    @blp.arguments(VehicleSyncRequest, required=False)
    @idempotent
    @blp.response(202, Job)
    @blp.alt_response(409, "CONFLICT")
    def post(self, asked: Values) -> Answer:
        """Bring models in step with NHTSA, in the background. Poll the job for what changed."""
        with transaction():
            job = service.request_sync(**asked)
        return accepted(job)
