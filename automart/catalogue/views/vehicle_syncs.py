"""The sync of models with NHTSA, which runs as a background job."""

from __future__ import annotations

from flask.views import MethodView

from automart.background.prefer_wait import accepted, can_wait
from automart.background.schemas import Job
from automart.catalogue import service
from automart.catalogue.schemas import NewVehicleSync
from automart.catalogue.views.blueprint import blp
from automart.core.db import transaction
from automart.web import ADMIN, Answer, Values, idempotent, requires


@blp.route("/vehicle-syncs")
class VehicleSyncs(MethodView):
    @requires(ADMIN, scope="catalogue")
    @can_wait
    @blp.arguments(NewVehicleSync, required=False)
    @idempotent
    @blp.response(202, Job)
    @blp.alt_response(409, "CONFLICT")
    @blp.doc(operationId="startVehicleSync")
    def post(self, values: Values) -> Answer:
        """Start a job that updates models to those of NHTSA. Its result shows the changes."""
        with transaction():
            job = service.start_sync(
                values["make_ids"], values["approve_deletions"], dry_run=values["dry_run"]
            )
        return accepted(job)
