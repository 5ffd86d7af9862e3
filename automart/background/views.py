"""Jobs: to poll, to list, to cancel."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from flask.views import MethodView

from automart.background import service
from automart.background.models import Job
from automart.background.prefer_wait import POLL_AFTER
from automart.background.schemas import JobQuery, JobSchema
from automart.core.db import transaction
from automart.web import ANY, Blueprint, page_of, paginate, requires

RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds; absent once it has ended.",
        "schema": {"type": "integer"},
    }
}

blp = Blueprint("jobs", __name__, url_prefix="/jobs", description="Background work")


@blp.route("")
class Jobs(MethodView):
    @requires(ANY)
    @blp.arguments(JobQuery, location="query")
    @blp.response(200, page_of(JobSchema))
    def get(self, query: dict[str, Any]) -> dict[str, Any]:
        """List the jobs that you may see, newest first."""
        jobs = service.visible_jobs()
        if query["kind"] is not None:
            jobs = jobs.where(Job.kind == query["kind"])
        if query["state"] is not None:
            jobs = jobs.where(Job.state == query["state"])
        return paginate(jobs, Job.id, query, newest_first=True)


@blp.route("/<uuid:job_id>")
class JobById(MethodView):
    @requires(ANY)
    @blp.response(200, JobSchema, headers=RETRY_AFTER)
    def get(self, job_id: uuid.UUID) -> tuple[Job, int, Mapping[str, str]]:
        """Poll a job. While it has not ended, `Retry-After` says when to ask again."""
        job = service.visible_job(job_id)
        return job, 200, {} if job.state.has_ended else {"Retry-After": str(POLL_AFTER)}


@blp.route("/<uuid:job_id>/cancel")
class JobCancellation(MethodView):
    @requires(ANY)
    @blp.response(200, JobSchema)
    @blp.alt_response(409, "CONFLICT")
    def post(self, job_id: uuid.UUID) -> Job:
        """End a vehicle sync at once. What it has written stays."""
        with transaction():
            job = service.visible_job(job_id, lock=True)
            service.cancel(job)
        return job
