"""Makes, and the models of one make."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from sqlalchemy import Row, select

from automart.catalogue import models, service
from automart.catalogue.schemas import Make, MakeChanges, MakeQuery, NewMake, VehicleModel
from automart.catalogue.views.blueprint import blp
from automart.core.db import get_or_404, lock_or_404, read_or_404, rows_of, transaction
from automart.web import (
    ADMIN,
    ANY,
    Answer,
    PageQuery,
    Values,
    check_version,
    created,
    idempotent,
    page_of,
    paginate,
    requires,
    where_given,
)


@blp.route("/makes")
class Makes(MethodView):
    @requires(ANY)
    @blp.arguments(MakeQuery, location="query")
    @blp.response(200, page_of(Make))
    def get(self, query: Values) -> Values:
        """List makes."""
        filters = {models.VehicleMake.name_folded: query["name"]}
        makes = where_given(rows_of(models.VehicleMake), filters)
        return paginate(makes, models.VehicleMake.id, query)

    @requires(ADMIN, scope="catalogue")
    @blp.arguments(NewMake)
    @idempotent
    @blp.response(201, Make)
    @blp.alt_response(409, "CONFLICT")
    def post(self, values: Values) -> Answer:
        """Create a make with NHTSA's id, whose models the next sync adds, or one of our own."""
        with transaction():
            make = service.create_make(values)
        return created(make, "catalogue.MakeById", make_id=make.id)


@blp.route("/makes/<id:make_id>")
class MakeById(MethodView):
    @requires(ANY)
    @blp.response(200, Make)
    def get(self, make_id: int) -> Row[Any]:
        """Get a make."""
        return read_or_404(models.VehicleMake, make_id)

    @requires(ADMIN, scope="catalogue")
    @blp.arguments(MakeChanges)
    @blp.response(200, Make)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, make_id: int) -> models.VehicleMake:
        """Rename a make."""
        with transaction():
            make = lock_or_404(models.VehicleMake, make_id)
            check_version(make, Make)
            service.update_make(make, changes)
        return make

    @requires(ADMIN, scope="catalogue")
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, make_id: int) -> None:
        """Delete a make and its models."""
        with transaction():
            make = lock_or_404(models.VehicleMake, make_id, before_delete=True)
            check_version(make, Make)
            service.delete_make(make)


@blp.route("/makes/<id:make_id>/models")
class ModelsOfMake(MethodView):
    @requires(ANY)
    @blp.arguments(PageQuery, location="query")
    @blp.response(200, page_of(VehicleModel))
    def get(self, query: Values, make_id: int) -> Values:
        """List the models of a make."""
        make = get_or_404(models.VehicleMake, make_id)
        of_make = select(models.VehicleModel).where(models.VehicleModel.make_id == make.id)
        return paginate(of_make, models.VehicleModel.id, query)
