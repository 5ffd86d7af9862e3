"""Schemas of health checks."""

from __future__ import annotations

from marshmallow import fields, validate

from automart.web import Output


class Live(Output):
    status = fields.String(validate=validate.OneOf(["ok"]))


class Parts(Output):
    """The services that Automart depends on. It also runs with the `newer` schema of a later
    release."""

    database = fields.String(validate=validate.OneOf(["ok", "down"]))
    schema = fields.String(validate=validate.OneOf(["ok", "newer", "older", "missing", "unknown"]))
    redis = fields.String(validate=validate.OneOf(["ok", "down"]))


class Health(Output):
    status = fields.String(
        validate=validate.OneOf(["ok", "degraded"]),
        metadata={
            "description": "`degraded` without Redis: jobs are accepted and stored, and run later."
        },
    )
    parts = fields.Nested(Parts)
