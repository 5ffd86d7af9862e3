"""`Prefer: wait` (RFC 7240 §4.3): answer a POST that starts a job with the finished job, if it is
quick."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from threading import BoundedSemaphore
from typing import Any

from flask import Response, make_response, request
from werkzeug.http import parse_list_header

from automart.background.models import Job
from automart.background.schemas import JobSchema, job_url
from automart.core.db import db, release_connection
from automart.web.annotations import note

LONGEST_WAIT = 30
POLLED_EVERY = (0.02, 0.5)
POLL_AFTER = 1
_WAIT = re.compile(r'wait\s*=\s*"?(\d+)"?\s*(;.*)?', re.ASCII | re.IGNORECASE)
# A waiting request holds a thread. Beyond this number the answer is the plain 202.
_places = BoundedSemaphore(16)


def accepted(job: Job) -> tuple[Job, int, Mapping[str, str]]:
    """The answer of a view that has submitted `job`."""
    return job, 202, {"Location": job_url(job), "Retry-After": str(POLL_AFTER)}


def can_wait(view: Callable[..., Any]) -> Callable[..., Any]:
    """Honour `Prefer: wait=N` on a view that answers with `accepted`. Outermost but for access."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        response = make_response(view(*args, **kwargs))
        seconds = _preferred_seconds()
        if response.status_code != 202 or seconds is None:
            return response
        job = _when_ended(uuid.UUID(response.get_json()["id"]), seconds)
        return response if job is None else _answer(response, job, seconds)

    note(wrapper, can_wait=True)
    return wrapper


def _preferred_seconds() -> int | None:
    """The asked seconds; None if nothing is asked. Malformed preferences are ignored (RFC 7240)."""
    for preference in parse_list_header(",".join(request.headers.getlist("Prefer"))):
        asked = _WAIT.fullmatch(preference)
        if asked:
            return min(int(asked[1][:9]), LONGEST_WAIT)
    return None


def _when_ended(job_id: uuid.UUID, seconds: int) -> Job | None:
    """The job as it is when it has ended or `seconds` are over. None: nobody could wait for it."""
    deadline = time.monotonic() + seconds
    pause, longest = POLLED_EVERY
    with _a_place() as found:
        while found:
            job = db.session.get(Job, job_id, populate_existing=True)
            release_connection()
            left = deadline - time.monotonic()
            if job is None or job.state.has_ended or left <= 0:
                return job
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, longest)
    return None


@contextmanager
def _a_place() -> Iterator[bool]:
    found = _places.acquire(blocking=False)
    try:
        yield found
    finally:
        if found:
            _places.release()


def _answer(response: Response, job: Job, seconds: int) -> Response:
    """The job as it is now, with what else the 202 said of the request (a replay, say)."""
    response.set_data(make_response(JobSchema().dump(job)).get_data())
    if job.state.has_ended:
        response.status_code = 200
        response.headers["Preference-Applied"] = f"wait={seconds}"
        for name in ("Location", "Retry-After"):
            del response.headers[name]
    return response
