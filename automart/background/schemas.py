"""How clients see jobs."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from automart.background.kinds import KIND_NAMES
from automart.background.models import Job, JobState
from automart.web import PageQuery, Schema, absolute_url
from automart.web.fields import UtcTime


def job_url(job: Job) -> str:
    """The absolute URL where the job can be polled."""
    return absolute_url("jobs.JobById", job_id=job.id)


class ProgressSchema(Schema):
    """How far a job is: `done` of `total` steps. `total` is null until it is known."""

    done = fields.Integer(required=True)
    total = fields.Integer(required=True, allow_none=True)


class JobSchema(Schema):
    """A piece of background work. Poll `url` until `state` is none of `queued` and `running`."""

    id = fields.UUID(dump_only=True)
    kind = fields.String(dump_only=True)
    state = fields.Enum(JobState, by_value=True, dump_only=True)
    progress = fields.Nested(ProgressSchema, attribute="*", dump_only=True)
    result = fields.Dict(
        dump_only=True, allow_none=True, metadata={"description": "What came of it."}
    )
    error = fields.Dict(
        dump_only=True,
        allow_none=True,
        metadata={
            "description": "Why it failed: a problem object (RFC 9457).",
            "required": ["type", "title", "status", "detail"],
        },
    )
    url = fields.Function(job_url, metadata={"type": "string", "format": "uri"})
    created_at = UtcTime(dump_only=True)
    started_at = UtcTime(dump_only=True, allow_none=True)
    finished_at = UtcTime(dump_only=True, allow_none=True)
    attempts = fields.Integer(dump_only=True)

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """`progress` is a view on the job itself."""
        return obj if attr == "*" else super().get_attribute(obj, attr, default)


class JobQuery(PageQuery):
    kind = fields.String(load_default=None, validate=validate.OneOf(KIND_NAMES))
    state = fields.Enum(JobState, by_value=True, load_default=None)
