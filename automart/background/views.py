"""Endpoints to list, poll and cancel jobs."""

from __future__ import annotations

import uuid

from flask.views import MethodView

from automart.background import models, service
from automart.background.prefer_wait import POLL_AFTER
from automart.background.schemas import Job, JobQuery
from automart.core.db import transaction
from automart.web import (
    ANY,
    Answer,
    Blueprint,
    Values,
    page_of,
    paginate_by,
    requires,
)

POLL_HEADERS = {
    "Retry-After": {
        "description": "Seconds until the next poll. Absent once the job has ended.",
        "schema": {"type": "integer"},
    }
}

blp = Blueprint("jobs", __name__, url_prefix="/jobs", description="Background work")


@blp.route("")
class Jobs(MethodView):
    @requires(ANY)
    @blp.arguments(JobQuery, location="query")
    @blp.response(200, page_of(Job))
    def get(self, query: Values) -> Values:
        """List the jobs that you may see, newest first.

        Administrators see all jobs. Everyone else sees their own jobs, and service clients those of
        the kinds that they may start.
        """
        return paginate_by(service.visible_jobs_before(query), models.Job.id, query)


@blp.route("/<uuid:job_id>")
class JobById(MethodView):
    @requires(ANY)
    @blp.response(200, Job, headers=POLL_HEADERS)
    def get(self, job_id: uuid.UUID) -> Answer:
        """Get a job. Until it has ended, `Retry-After` says when to poll again."""
        job = service.find_job(job_id)
        return job, 200, {} if job.state.has_ended else {"Retry-After": str(POLL_AFTER)}


@blp.route("/<uuid:job_id>/cancel")
class JobCancellation(MethodView):
    @requires(ANY)
    @blp.response(200, Job)
    @blp.alt_response(409, "CONFLICT")
    @blp.doc(operationId="cancelJob")
    def post(self, job_id: uuid.UUID) -> models.Job:
        """Cancel a vehicle sync. The makes that it has updated stay updated."""
        with transaction():
            job = service.lock_job(job_id)
            service.cancel_job(job)
        return job
