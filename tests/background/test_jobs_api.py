"""`/jobs`: polling, listing and cancelling; and `Prefer: wait` at submission."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.background import Job, kinds, prefer_wait
from automart.background.leases import JobLease, LeaseLost, claim
from automart.background.service import submit
from automart.core.db import transaction
from automart.core.errors import problem
from tests.support.catalogue import HONDA, add_make
from tests.support.http import assert_problem, at_once, parameters
from tests.support.limits import LIMIT
from tests.support.sync import the_job


@pytest.fixture
def job(app: Flask) -> Job:
    """Return a queued job."""
    return add_job()


@pytest.fixture
def held(job: Job) -> JobLease:
    """Return the lease of `job`, which is running."""
    started = claim(job.id)
    assert started is not None
    return started[0]


def add_job() -> Job:
    with transaction():
        job = submit(kinds.VEHICLE_SYNC, make_ids=None, approve_deletions=False)
    assert job is not None
    return job


class TestPolling:
    def test_a_queued_job_has_a_retry_after(self, client: FlaskClient, job: Job) -> None:
        response = client.get(f"/jobs/{job.id}")
        assert response.status_code == 200
        assert int(response.headers["Retry-After"]) >= 1
        created_at = response.get_json()["created_at"]
        assert created_at.endswith("Z")
        assert response.get_json() == {
            "id": str(job.id),
            "kind": "vehicle_sync",
            "state": "queued",
            "progress": {"done": 0, "total": None},
            "result": None,
            "error": None,
            "url": f"http://localhost/jobs/{job.id}",
            "created_at": created_at,
            "started_at": None,
            "finished_at": None,
            "attempts": 0,
        }

    def test_a_running_job_shows_its_progress(
        self, client: FlaskClient, job: Job, held: JobLease
    ) -> None:
        with transaction():
            held.expect(11)
            held.advance(3)
        response = client.get(f"/jobs/{job.id}")
        assert "Retry-After" in response.headers
        assert response.get_json()["state"] == "running"
        assert response.get_json()["progress"] == {"done": 3, "total": 11}
        assert response.get_json()["started_at"] is not None
        assert response.get_json()["attempts"] == 1

    def test_a_succeeded_job_shows_its_result_without_retry_after(
        self, client: FlaskClient, job: Job, held: JobLease
    ) -> None:
        with transaction():
            held.succeed({"makes_unchanged": 9})
        response = client.get(f"/jobs/{job.id}")
        assert "Retry-After" not in response.headers
        assert response.get_json()["state"] == "succeeded"
        assert response.get_json()["result"] == {"makes_unchanged": 9}
        assert response.get_json()["error"] is None
        assert response.get_json()["finished_at"] >= response.get_json()["started_at"]

    def test_a_failed_job_shows_its_error(
        self, client: FlaskClient, job: Job, held: JobLease
    ) -> None:
        with transaction():
            held.fail(problem(502, "NHTSA did not answer."))
        response = client.get(f"/jobs/{job.id}")
        assert "Retry-After" not in response.headers
        assert response.get_json()["state"] == "failed"
        assert response.get_json()["error"] == {
            "type": "about:blank",
            "title": "Bad Gateway",
            "status": 502,
            "detail": "NHTSA did not answer.",
        }

    def test_polling_an_unchanged_job_is_304(self, client: FlaskClient, job: Job) -> None:
        etag = client.get(f"/jobs/{job.id}").headers["ETag"]
        again = client.get(f"/jobs/{job.id}", headers={"If-None-Match": etag})
        assert (again.status_code, again.data) == (304, b"")
        assert claim(job.id) is not None
        changed = client.get(f"/jobs/{job.id}", headers={"If-None-Match": etag})
        assert changed.json["state"] == "running"

    def test_an_unknown_job_is_404(self, client: FlaskClient) -> None:
        for text in (uuid.uuid4(), uuid.UUID(int=0), "1", "x", "%00", f"{uuid.uuid4().hex}"):
            assert_problem(client.get(f"/jobs/{text}"), 404)
            assert_problem(client.post(f"/jobs/{text}/cancel"), 404)
        missing = assert_problem(client.post(f"/jobs/{uuid.UUID(int=1)}/cancel"), 404)
        assert missing["detail"] == f"There is no job {uuid.UUID(int=1)}."


class TestListing:
    def test_jobs_are_listed_newest_first(self, client: FlaskClient) -> None:
        expected = [str(add_job().id) for _ in range(5)][::-1]
        first = client.get("/jobs?limit=3").get_json()
        add_job()
        rest = client.get(f"/jobs?limit=3&cursor={first['next_cursor']}").get_json()
        assert [item["id"] for item in first["items"] + rest["items"]] == expected

    def test_a_listed_job_is_shown_like_a_polled_one(self, client: FlaskClient, job: Job) -> None:
        assert client.get("/jobs").get_json()["items"] == [client.get(f"/jobs/{job.id}").get_json()]

    def test_jobs_are_filtered_by_kind_and_state(
        self, client: FlaskClient, job: Job, held: JobLease
    ) -> None:
        queued = add_job()
        assert [j["id"] for j in client.get("/jobs?state=queued").get_json()["items"]] == [
            str(queued.id)
        ]
        both = client.get("/jobs?kind=vehicle_sync").get_json()["items"]
        assert [j["id"] for j in both] == [str(queued.id), str(job.id)]
        running = client.get("/jobs?kind=vehicle_sync&state=running").get_json()["items"]
        assert [j["id"] for j in running] == [str(job.id)]
        assert client.get("/jobs?state=failed").get_json()["items"] == []

    def test_unknown_kinds_and_states_are_422(self, client: FlaskClient) -> None:
        problem = parameters(client.get("/jobs?kind=nap&state=asleep"))
        assert problem.keys() == {"kind", "state"}
        assert "vehicle_sync" in problem["kind"]
        assert "queued" in problem["state"]


class TestCancelling:
    def test_a_queued_job_is_cancelled_at_once(self, client: FlaskClient, job: Job) -> None:
        response = client.post(f"/jobs/{job.id}/cancel")
        assert response.status_code == 200
        assert response.get_json()["state"] == "cancelled"
        assert response.get_json()["finished_at"] is not None
        assert client.get(f"/jobs/{job.id}").get_json() == response.get_json()
        assert claim(job.id) is None

    def test_a_kind_that_must_be_done_cannot_be_cancelled(self, client: FlaskClient) -> None:
        with transaction():
            sale = submit(kinds.PURCHASE_RECORDING)
        assert sale is not None
        problem = assert_problem(client.post(f"/jobs/{sale.id}/cancel"), 409)
        assert "purchase_recording cannot be cancelled" in problem["detail"]

    def test_a_running_job_is_cancelled_at_once(
        self, client: FlaskClient, job: Job, held: JobLease
    ) -> None:
        assert client.post(f"/jobs/{job.id}/cancel").get_json()["state"] == "cancelled"
        assert client.get(f"/jobs/{job.id}").get_json()["attempts"] == 1
        with pytest.raises(LeaseLost), transaction():
            held.advance()
        assert (the_job().claim, the_job().lease_until) == (None, None)

    def test_a_job_that_has_ended_is_a_conflict(
        self, client: FlaskClient, job: Job, held: JobLease
    ) -> None:
        with transaction():
            held.succeed(None)
        problem = assert_problem(client.post(f"/jobs/{job.id}/cancel"), 409)
        assert problem["detail"] == "The job has ended already: succeeded."
        assert client.get(f"/jobs/{job.id}").get_json()["state"] == "succeeded"

    def test_one_of_many_concurrent_cancellations_succeeds(
        self, client: FlaskClient, job: Job
    ) -> None:
        answers = at_once(*[lambda: client.post(f"/jobs/{job.id}/cancel")] * 4)
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]

    def test_another_sync_can_be_started_after_a_cancellation(self, client: FlaskClient) -> None:
        add_make()
        first = client.post("/v1/vehicle-syncs").get_json()
        assert_problem(client.post("/v1/vehicle-syncs", json={"make_ids": [HONDA]}), 409)
        client.post(f"/jobs/{first['id']}/cancel")
        second = client.post("/v1/vehicle-syncs", json={"make_ids": [HONDA]})
        assert second.status_code == 202
        assert second.get_json()["id"] != first["id"]


@pytest.fixture
def busy() -> Iterator[None]:
    """Occupy all slots for waiting requests."""
    with ExitStack() as stack:
        while stack.enter_context(prefer_wait._slot()):
            pass
        yield


class TestWaiting:
    def start(self, client: FlaskClient, prefer: str) -> tuple[int, str | None]:
        response = client.post("/v1/vehicle-syncs", headers={"Prefer": prefer})
        if response.status_code == 202:
            assert response.headers["Location"] == response.get_json()["url"]
            assert response.headers["Retry-After"] == "1"
        return response.status_code, response.headers.get("Preference-Applied")

    def test_a_job_that_ends_in_time_is_returned_as_ended(
        self,
        client: FlaskClient,
        run_jobs: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(prefer_wait, "LONGEST_WAIT", LIMIT)
        wait = f"wait={LIMIT:.0f}"

        def submit_and_wait() -> tuple[int, str | None]:
            return self.start(client, wait)

        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(submit_and_wait)
            while not client.get("/jobs").get_json()["items"]:
                pass  # until it is submitted
            run_jobs()
            assert answer.result() == (200, wait)

    def test_the_ended_job_is_shown_like_a_polled_one(
        self, client: FlaskClient, run_jobs: Callable[[], None]
    ) -> None:
        key = {"Idempotency-Key": "k"}
        client.post("/v1/vehicle-syncs", headers=key)
        run_jobs()
        response = client.post("/v1/vehicle-syncs", headers={"Prefer": "wait=5", **key})
        assert response.status_code == 200
        assert "Retry-After" not in response.headers
        polled = client.get(response.get_json()["url"])
        assert response.get_json() == polled.json
        assert response.headers["ETag"] == polled.headers["ETag"]

    def test_a_job_that_does_not_end_in_time_is_returned_as_it_is(
        self, client: FlaskClient
    ) -> None:
        assert self.start(client, "wait=1") == (202, None)

    def test_every_form_of_the_preference_is_understood(
        self, client: FlaskClient, run_jobs: Callable[[], None], subtests: pytest.Subtests
    ) -> None:
        for prefer, applied in (
            ("wait=0", "wait=0"),
            ("WAIT = 7", "wait=7"),
            ('wait="7"', "wait=7"),
            ("wait=7; x=y", "wait=7"),
            ("respond-async, wait=7", "wait=7"),
            ('x="a, wait=5", wait=7', "wait=7"),
            ("wait=7, wait=8", "wait=7"),
            ("wait=30", "wait=30"),
            ("wait=31", "wait=30"),
            ("wait=99999999999999999999", "wait=30"),
        ):
            with subtests.test(prefer):
                key = {"Idempotency-Key": prefer}
                client.post("/v1/vehicle-syncs", headers=key)
                run_jobs()
                response = client.post("/v1/vehicle-syncs", headers={"Prefer": prefer, **key})
                assert response.status_code == 200
                assert response.headers["Preference-Applied"] == applied

    def test_malformed_preferences_are_ignored(
        self, client: FlaskClient, subtests: pytest.Subtests
    ) -> None:
        for prefer in ("", "wait", "wait=", "wait=-1", "wait=1.5", "wait=ten", "wait=²", "await=9"):
            with subtests.test(prefer):
                assert self.start(client, prefer) == (202, None)
        for prefer in (",;=", '"', 'wait="', "respond-async", "handling=lenient", "wait 9"):
            with subtests.test(prefer):
                assert self.start(client, prefer) == (202, None)

    def test_a_busy_server_does_not_wait(self, client: FlaskClient, busy: None) -> None:
        assert self.start(client, "wait=30") == (202, None)

    def test_an_error_is_returned_at_once(self, client: FlaskClient) -> None:
        response = client.post(
            "/v1/vehicle-syncs", json={"make_ids": [1]}, headers={"Prefer": "wait=30"}
        )
        assert_problem(response, 422)
