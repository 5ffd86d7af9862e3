"""Which callers see which jobs."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from flask import Flask, g
from flask.testing import FlaskClient

from automart.accounts.models import Client, User
from automart.background import Job
from automart.background.service import visible_jobs_before
from automart.core.db import db, transaction
from tests.support import people


def job_of(owner: str | None, kind: str | None = None) -> Job:
    """Return a queued job of `owner`. Its default kind is one that no caller may start."""
    job = Job(kind=kind or "private", arguments={}, time_limit=60, owner=owner)
    with transaction():
        db.session.add(job)
    return job


def seen_by(client: FlaskClient) -> set[str]:
    return {job["id"] for job in client.get("/jobs").get_json()["items"]}


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user()


@pytest.fixture
def as_owner(app: Flask, user: User) -> FlaskClient:
    return people.signed_in(app, user)


class TestVisibility:
    def test_owners_see_their_own_jobs_only(
        self, user: User, as_owner: FlaskClient, as_user: FlaskClient
    ) -> None:
        owned, unowned = job_of(user.caller_id), job_of(None)
        assert seen_by(as_owner) == {str(owned.id)}
        assert as_owner.get(f"/jobs/{owned.id}").status_code == 200
        assert as_owner.get(f"/jobs/{unowned.id}").status_code == 404
        assert as_user.get(f"/jobs/{owned.id}").status_code == 404
        assert seen_by(as_user) == set()

    def test_hidden_and_missing_jobs_get_the_same_response(self, as_user: FlaskClient) -> None:
        hidden = job_of("user:0")
        missing = uuid.uuid4()
        answers = [as_user.get(f"/jobs/{job_id}").get_json() for job_id in (hidden.id, missing)]
        details = [
            answer["detail"].replace(str(job_id), "…")
            for answer, job_id in zip(answers, (hidden.id, missing), strict=True)
        ]
        assert details[0] == details[1] == "There is no job …."

    def test_admins_see_all_jobs(self, as_admin: FlaskClient) -> None:
        jobs = {str(job_of(owner).id) for owner in ("user:0", "client:a", None)}
        assert seen_by(as_admin) == jobs

    def test_callers_that_may_start_a_sync_see_every_sync(
        self, as_catalogue: FlaskClient, as_user: FlaskClient
    ) -> None:
        sync, other = job_of("user:0", "vehicle_sync"), job_of("user:0")
        assert seen_by(as_catalogue) == {str(sync.id)}
        assert as_catalogue.get(f"/jobs/{other.id}").status_code == 404
        assert as_user.get(f"/jobs/{sync.id}").status_code == 404

    def test_a_service_client_without_the_scope_sees_no_sync(
        self, app: Flask, make_client: Callable[..., Client]
    ) -> None:
        sync = job_of("user:0", "vehicle_sync")
        response = people.signed_in(app, make_client("metrics")).get(f"/jobs/{sync.id}")
        assert response.status_code == 404

    def test_filters_do_not_show_hidden_jobs(self, as_user: FlaskClient) -> None:
        job_of("user:0", "vehicle_sync")
        listed = as_user.get("/jobs?kind=vehicle_sync&state=queued").get_json()
        assert listed["items"] == []


class TestOwnership:
    def test_callers_own_the_jobs_that_they_start(self, as_catalogue: FlaskClient) -> None:
        job_id = as_catalogue.post("/v1/vehicle-syncs").get_json()["id"]
        job = db.session.get_one(Job, uuid.UUID(job_id))
        assert job.owner is not None
        assert job.owner.startswith("client:")

    def test_only_callers_that_see_a_job_can_cancel_it(
        self, as_user: FlaskClient, as_catalogue: FlaskClient, as_admin: FlaskClient
    ) -> None:
        job_id = as_catalogue.post("/v1/vehicle-syncs").get_json()["id"]
        assert as_user.post(f"/jobs/{job_id}/cancel").status_code == 404
        assert as_admin.post(f"/jobs/{job_id}/cancel").get_json()["state"] == "cancelled"


def test_a_page_of_jobs_reads_no_more_rows_than_it_shows(app: Flask) -> None:
    user = people.make_user(is_admin=True)
    newest = [job_of(user.caller_id) for _ in range(3)][:0:-1]
    with app.test_request_context():
        g.caller = user  # an administrator, which is all that it looks at
        found = visible_jobs_before({"kind": None, "state": None})(None, 2)
    assert [job.id for job in found] == [job.id for job in newest]
