"""Schemas of jobs."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields, validate

from automart.background import models
from automart.background.kinds import KINDS, Kind
from automart.background.models import JobState
from automart.web import Output, PageQuery, Schema, absolute_url
from automart.web.fields import QueryEnum, QueryKey, UtcTime


def job_url(job: models.SubmittedJob) -> str:
    """Return the absolute URL at which a job is polled."""
    return absolute_url("jobs.JobById", job_id=job.id)


class Progress(Output):
    """`done` of `total` steps."""

    done = fields.Integer(metadata={"description": "The steps that have ended."})
    total = fields.Integer(
        allow_none=True, metadata={"description": "All steps. Null until it is known."}
    )


class RefusedRecord(Output):
    """A record of a CSV file that was not imported."""

    lines = fields.List(
        fields.Integer(),
        validate=validate.Length(equal=2),
        metadata={"description": "The first and last line of the record, from 1."},
    )
    reasons = fields.List(fields.String(), metadata={"description": "What is wrong with it."})


class ImportResult(Output):
    """The result of an import of CSV."""

    imported = fields.Integer(metadata={"description": "The number of imported records."})
    refused_count = fields.Integer(metadata={"description": "The number of refused records."})
    refused = fields.List(
        fields.Nested(RefusedRecord), metadata={"description": "The first of them, at most 1,000."}
    )


class JobError(Output):
    """Why a job failed: a problem object (RFC 9457)."""

    type = fields.String(metadata={"format": "uri-reference", "description": "`about:blank`."})
    title = fields.String(metadata={"description": "The reason phrase of the status."})
    status = fields.Integer(
        metadata={"description": "The HTTP status that a request would have had."}
    )
    detail = fields.String(metadata={"description": "What went wrong."})


class NoticeResult(Output):
    """The result of a job that sends notices to the services of `NOTIFY_URLS`."""

    pending = fields.Integer(
        metadata={"description": "The number of notices that are tried again later."}
    )


class Job(Output):
    """Background work. Poll `url` until `state` is neither `queued` nor `running`."""

    alternatives: ClassVar[tuple[str, dict[str, type[Schema]]]]

    id = fields.UUID(metadata={"description": "The id of the job."})
    kind = fields.String()
    state = fields.Enum(
        JobState,
        by_value=True,
        metadata={"description": "`succeeded`, `failed` and `cancelled` jobs have ended."},
    )
    progress = fields.Nested(
        Progress, attribute="*", metadata={"description": "How much of the work is done."}
    )
    result = fields.Dict(allow_none=True)
    error = fields.Dict(allow_none=True)
    url = fields.Function(
        job_url,
        metadata={"type": "string", "format": "uri", "description": "Where to poll the job."},
    )
    created_at = UtcTime(metadata={"description": "When the job was submitted."})
    started_at = UtcTime(
        allow_none=True, metadata={"description": "When a worker began it. Null until then."}
    )
    finished_at = UtcTime(
        allow_none=True, metadata={"description": "When the job ended. Null until then."}
    )
    attempts = fields.Integer(
        metadata={"description": "How often the job was started. It restarts if a worker dies."}
    )

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Nest `progress`, whose values are attributes of the job itself."""
        return obj if attr == "*" else super().get_attribute(obj, attr, default)


def _job_of(kind: Kind) -> type[Job]:
    """Return the schema of the jobs of `kind`, which only documents them."""
    name = "".join(word.capitalize() for word in kind.name.split("_")) + "Job"
    described: dict[str, Any] = {
        "__doc__": Job.__doc__,
        "kind": fields.String(
            validate=validate.OneOf([kind.name]),
            metadata={"description": "What the job does. It decides what `result` is."},
        ),
        "result": fields.Nested(
            kind.result,
            allow_none=True,
            metadata={"description": "The result. Null until the job has one."},
        ),
        "error": fields.Nested(
            JobError,
            allow_none=True,
            metadata={"description": "Why the job failed. Null unless it has."},
        ),
    }
    return type(name, (Job,), described)


Job.alternatives = ("kind", {kind.name: _job_of(kind) for kind in KINDS.values()})


class JobQuery(PageQuery):
    kind = QueryKey(
        load_default=None,
        validate=validate.OneOf(KINDS),
        metadata={"description": "Only jobs of this kind."},
    )
    state = QueryEnum(JobState, metadata={"description": "Only jobs in this state."})
