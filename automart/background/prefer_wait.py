"""`Prefer: wait` (RFC 7240 §4.3): a request that submits a job waits for the job to end."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from threading import BoundedSemaphore
from typing import Any

from flask import Response, g, make_response, request
from werkzeug.http import parse_list_header

from automart.background import schemas
from automart.background.models import Job, SubmittedJob
from automart.core.db import db, release_connection
from automart.core.turns import turn_released
from automart.web.annotations import note
from automart.web.decorators import Layer, View, in_layer
from automart.web.types import Answer

LONGEST_WAIT = 30
POLL_INTERVALS = (0.02, 0.5)
POLL_AFTER = 1
_WAIT = re.compile(r'wait\s*=\s*"?(\d+)"?\s*(;.*)?', re.ASCII | re.IGNORECASE)
# A waiting request occupies a thread. Beyond this number the response is the plain 202.
_slots = BoundedSemaphore(16)


def accepted(job: SubmittedJob) -> Answer:
    """Return the response of a view that has submitted `job`."""
    g.submitted_job_id = job.id
    return job, 202, {"Location": schemas.job_url(job), "Retry-After": str(POLL_AFTER)}


def can_wait(view: View) -> View:
    """Support `Prefer: wait=N` in a view that returns `accepted(…)`, or a replay of it."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        response = make_response(view(*args, **kwargs))
        seconds = _preferred_seconds()
        job_id: uuid.UUID | None = g.get("submitted_job_id")
        if job_id is None or seconds is None:
            return response
        job = _wait(job_id, seconds)
        return response if job is None else _with_job(response, job, seconds)

    note(wrapper, can_wait=True)
    return in_layer(Layer.WAITING, wrapper)


def _preferred_seconds() -> int | None:
    """Return how long the client will wait, None if it did not ask for that. Malformed preferences
    are ignored (RFC 7240)."""
    for preference in parse_list_header(",".join(request.headers.getlist("Prefer"))):
        match = _WAIT.fullmatch(preference)
        if match:
            return min(int(match[1][:9]), LONGEST_WAIT)
    return None


def _wait(job_id: uuid.UUID, seconds: int) -> Job | None:
    """Return the job when it has ended or after `seconds`. None if too many requests wait."""
    deadline = time.monotonic() + seconds
    pause, longest = POLL_INTERVALS
    with _slot() as acquired:
        while acquired:
            job = db.session.get(Job, job_id, populate_existing=True)
            release_connection()
            left = deadline - time.monotonic()
            if job is None or job.state.has_ended or left <= 0:
                return job
            with turn_released():
                time.sleep(min(pause, left))
            pause = min(pause * 1.5, longest)
    return None


@contextmanager
def _slot() -> Iterator[bool]:
    acquired = _slots.acquire(blocking=False)
    try:
        yield acquired
    finally:
        if acquired:
            _slots.release()


def _with_job(response: Response, job: Job, seconds: int) -> Response:
    """Return `response` with the current state of the job. Its other headers stay, also those of a
    replay."""
    response.set_data(make_response(schemas.Job().dump(job)).get_data())
    if job.state.has_ended:
        response.status_code = 200
        response.headers["Preference-Applied"] = f"wait={seconds}"
        for name in ("Location", "Retry-After"):
            del response.headers[name]
    return response
