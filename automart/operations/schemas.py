"""Schemas of health checks."""

from __future__ import annotations

from marshmallow import fields, validate

from automart.web import Output


class Live(Output):
    """Whether the process responds."""

    status = fields.String(validate=validate.OneOf(["ok"]), metadata={"description": "`ok`."})


class Parts(Output):
    """The services that Automart depends on. It also runs with the `newer` schema of a later
    release."""

    database = fields.String(
        validate=validate.OneOf(["ok", "busy", "full", "read-only", "down"]),
        metadata={"description": "Whether the database responds and can be written to."},
    )
    schema = fields.String(
        validate=validate.OneOf(["ok", "newer", "older", "missing", "unknown"]),
        metadata={"description": "How the schema of the database compares to this release."},
    )
    redis = fields.String(
        validate=validate.OneOf(["ok", "full", "read-only", "down"]),
        metadata={"description": "Whether Redis responds and accepts messages."},
    )


class Health(Output):
    """Whether requests can be served."""

    status = fields.String(
        validate=validate.OneOf(["ok", "degraded"]),
        metadata={
            "description": "`degraded` without Redis, when jobs are accepted and stored, and run"
            " later; and while the database is busy."
        },
    )
    parts = fields.Nested(Parts, metadata={"description": "The state of each service."})
