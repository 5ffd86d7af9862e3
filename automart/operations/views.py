"""Health checks for load balancers and orchestrators."""

from __future__ import annotations

from flask import Response
from flask.views import MethodView

from automart.core.errors import Unavailable
from automart.operations import health, schemas
from automart.web import Blueprint, Values, public

blp = Blueprint("health", __name__, url_prefix="/health", description="Health checks")


@blp.after_request
def _never_cached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


@blp.route("/live")
class Live(MethodView):
    @public
    @blp.response(200, schemas.Live)
    @blp.doc(operationId="getLiveness")
    def get(self) -> dict[str, str]:
        """Check that this process responds, whatever else is down."""
        return {"status": "ok"}


@blp.route("/ready")
class Ready(MethodView):
    @public
    @blp.response(200, schemas.Health)
    @blp.alt_response(503, "SERVICE_UNAVAILABLE")
    @blp.doc(operationId="getReadiness")
    def get(self) -> Values:
        """Check whether requests can be served."""
        return _ready()


@blp.route("")
class Health(MethodView):
    @public
    @blp.response(200, schemas.Health)
    @blp.alt_response(503, "SERVICE_UNAVAILABLE")
    def get(self) -> Values:
        """Check whether requests can be served, like `/health/ready`."""
        return _ready()


def _ready() -> Values:
    found = health.check()
    if found["status"] == "unavailable":
        error = Unavailable(
            "The database is down or cannot be written to, or its schema is too old."
        )
        error.members["parts"] = found["parts"]
        raise error
    return found
