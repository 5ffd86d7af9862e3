"""Ordering a sync: one at a time, for makes that we have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from automart import background
from automart.background.service import active_job
from automart.catalogue.models import VehicleMake
from automart.core.batches import batched
from automart.core.config import current_settings
from automart.core.db import db
from automart.core.errors import FIELDS_ARE_WRONG, Conflict, Invalid
from automart.web import absolute_url

SINGLETON = "vehicle_sync"
# A list of ids is checked in parts that any database takes as parameters of one statement.
MOST_ERRORS_TOLD = 20
LEAST_TIME_LIMIT = 600


class SyncRunning(Conflict):
    """Another sync is queued or running."""

    def __init__(self, job: background.Job) -> None:
        super().__init__("Another sync is queued or running. Wait for its end, or cancel it.")
        # Read now: the transaction is rolled back before anybody is told.
        self.job_id = job.id

    def as_problem(self) -> dict[str, Any]:
        return super().as_problem() | {"job_url": absolute_url("jobs.JobById", job_id=self.job_id)}


def request_sync(
    make_ids: Sequence[int] | None, approve_deletions: bool, *, owner: str | None = None
) -> background.Job:
    """Submit a sync of these makes, or of all. The one that is queued or running, if it is equal.

    Raises `Conflict` if another one is, `Invalid` for makes that we do not have.
    """
    if approve_deletions and make_ids is None:
        raise Invalid.field(
            "approve_deletions", "Needs make_ids: deletions are approved make by make."
        )
    wanted = None if make_ids is None else sorted(set(make_ids))
    if make_ids is not None:
        _check_known(make_ids)
    arguments: dict[str, Any] = {"make_ids": wanted, "approve_deletions": approve_deletions}
    job = background.submit(
        background.kinds.VEHICLE_SYNC,
        singleton=SINGLETON,
        time_limit=_time_limit(wanted),
        owner=owner,
        **arguments,
    )
    if job is not None:
        return job
    running = active_job(SINGLETON)
    if running is None:  # it ended between the two statements
        return request_sync(make_ids, approve_deletions, owner=owner)
    if running.arguments != arguments:
        raise SyncRunning(running)
    return running


def _check_known(make_ids: Sequence[int]) -> None:
    known: set[int] = set()
    for part in batched(make_ids):
        known.update(db.session.scalars(select(VehicleMake.id).where(VehicleMake.id.in_(part))))
    errors = [
        {"detail": f"There is no make {make_id}.", "pointer": f"#/make_ids/{place}"}
        for place, make_id in enumerate(make_ids)
        if make_id not in known
    ]
    if errors:
        raise Invalid(FIELDS_ARE_WRONG, errors=errors[:MOST_ERRORS_TOLD])


def _time_limit(wanted: Sequence[int] | None) -> int:
    """Three times what the pace alone would take: answers may be slow, and some are asked twice."""
    settings = current_settings()
    count = (
        len(wanted) if wanted is not None else db.session.scalar(select(func.count(VehicleMake.id)))
    )
    seconds_each = (
        1 / settings.nhtsa_requests_per_second if settings.nhtsa_requests_per_second else 1
    )
    return LEAST_TIME_LIMIT + int(3 * seconds_each * (count or 0))
