"""Schemas of jobs."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from automart.background import models
from automart.background.kinds import KINDS
from automart.background.models import JobState
from automart.web import Output, PageQuery, absolute_url
from automart.web.fields import UtcTime


def job_url(job: models.Job) -> str:
    """Return the absolute URL at which a job is polled."""
    return absolute_url("jobs.JobById", job_id=job.id)


class Progress(Output):
    """`done` of `total` steps. `total` is null until it is known."""

    done = fields.Integer()
    total = fields.Integer(allow_none=True)


class Job(Output):
    """Background work. Poll `url` until `state` is neither `queued` nor `running`."""

    id = fields.UUID()
    kind = fields.String()
    state = fields.Enum(JobState, by_value=True)
    progress = fields.Nested(Progress, attribute="*")
    result = fields.Dict(
        allow_none=True, metadata={"description": "The result; null until the job has one."}
    )
    error = fields.Dict(
        allow_none=True,
        metadata={
            "description": "Why the job failed: a problem object (RFC 9457).",
            "required": ["type", "title", "status", "detail"],
        },
    )
    url = fields.Function(job_url, metadata={"type": "string", "format": "uri"})
    created_at = UtcTime()
    started_at = UtcTime(allow_none=True)
    finished_at = UtcTime(allow_none=True)
    attempts = fields.Integer()

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Nest `progress`, whose values are attributes of the job itself."""
        return obj if attr == "*" else super().get_attribute(obj, attr, default)


class JobQuery(PageQuery):
    kind = fields.String(load_default=None, validate=validate.OneOf(KINDS))
    state = fields.Enum(JobState, by_value=True, load_default=None)
