"""Health, for load balancers and orchestrators."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from marshmallow import fields, validate

from automart.core.errors import Unavailable
from automart.operations import health
from automart.web import Blueprint, Schema, public

blp = Blueprint("health", __name__, url_prefix="/health", description="Whether it can serve")


class LiveSchema(Schema):
    status = fields.String(required=True, validate=validate.OneOf(["ok"]))


class PartsSchema(Schema):
    """What it depends on. A `newer` schema, of the next release, is good enough."""

    database = fields.String(required=True, validate=validate.OneOf(["ok", "down"]))
    schema = fields.String(
        required=True, validate=validate.OneOf(["ok", "newer", "older", "missing", "unknown"])
    )
    redis = fields.String(required=True, validate=validate.OneOf(["ok", "down"]))


class HealthSchema(Schema):
    status = fields.String(
        required=True,
        validate=validate.OneOf(["ok", "degraded"]),
        metadata={
            "description": "`degraded` without Redis: work is taken and kept, and done later."
        },
    )
    parts = fields.Nested(PartsSchema, required=True)


@blp.route("/live")
class Live(MethodView):
    @public
    @blp.response(200, LiveSchema)
    def get(self) -> dict[str, str]:
        """Whether this process serves, whatever else is down."""
        return {"status": "ok"}


@blp.route("/ready")
class Ready(MethodView):
    @public
    @blp.response(200, HealthSchema)
    @blp.alt_response(503, "SERVICE_UNAVAILABLE")
    def get(self) -> dict[str, Any]:
        """Whether requests should be sent here."""
        return _ready()


@blp.route("")
class Health(MethodView):
    @public
    @blp.response(200, HealthSchema)
    @blp.alt_response(503, "SERVICE_UNAVAILABLE")
    def get(self) -> dict[str, Any]:
        """The same as `/health/ready`."""
        return _ready()


def _ready() -> dict[str, Any]:
    found = health.look()
    if found["status"] == "unavailable":
        error = Unavailable("The database is down, or its schema is too old for this release.")
        error.members["parts"] = found["parts"]
        raise error
    return found
