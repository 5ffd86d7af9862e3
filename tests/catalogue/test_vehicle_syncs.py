"""The order for a sync, and what a client sees of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.background import Job, submit
from automart.background.kinds import VIN_DECODING
from automart.catalogue import sync
from automart.catalogue.models import (
    LARGEST_NHTSA_ID,
    LONGEST_REASON,
    SyncOutcome,
    VehicleMake,
    VehicleModel,
)
from automart.catalogue.service import start_sync
from automart.catalogue.shared_pace import KEY
from automart.core.config import Settings
from automart.core.db import db, transaction
from jobs import context
from sandbox import Catalogue, Fault
from sandbox.vpic import Vpic
from tests.fixtures import Queries
from tests.support.databases import on_sqlite
from tests.support.http import pointers
from tests.support.processes import until
from tests.support.sync import (
    add_makes,
    add_models,
    catalogue_of,
    served_models,
    stored_models,
    the_job,
)

SYNCS = "/v1/vehicle-syncs"
HONDA, ISUZU, TOYOTA = 474, 542, 448


class TestOrder:
    def test_is_answered_with_a_job_to_poll(self, client: FlaskClient, vpic: Vpic) -> None:
        add_makes(Catalogue.sample())

        response = client.post(SYNCS)

        assert response.status_code == 202
        assert response.headers["Location"] == response.get_json()["url"]
        assert response.headers["Retry-After"]
        polled = client.get(response.headers["Location"])
        assert polled.json == response.get_json()
        assert polled.json["kind"] == "vehicle_sync"
        assert polled.json["state"] == "queued"
        assert polled.json["progress"] == {"done": 0, "total": None}
        assert vpic.request_count == 0

    @pytest.mark.parametrize("prefix", ["", "/api"])
    def test_gives_links_with_the_prefix_that_the_client_used(
        self, client: FlaskClient, prefix: str
    ) -> None:
        response = client.post(f"{prefix}{SYNCS}")

        assert response.get_json()["url"].startswith(f"http://localhost{prefix}/jobs/")
        assert client.get(response.get_json()["url"]).get_json() == response.get_json()

    @on_sqlite
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"make_ids": []}, "#/make_ids"),
            ({"make_ids": [0]}, "#/make_ids/0"),
            ({"make_ids": [HONDA, -1]}, "#/make_ids/1"),
            ({"make_ids": [2**63]}, "#/make_ids/0"),
            ({"make_ids": [10**30]}, "#/make_ids/0"),
            ({"make_ids": ["474"]}, "#/make_ids/0"),
            ({"make_ids": [474.5]}, "#/make_ids/0"),
            ({"make_ids": [True]}, "#/make_ids/0"),
            ({"make_ids": HONDA}, "#/make_ids"),
            ({"make_ids": [HONDA, 99]}, "#/make_ids/1"),
            ({"make_ids": [HONDA], "approve_deletions": "yes"}, "#/approve_deletions"),
            ({"make_ids": [HONDA], "approve_deletions": None}, "#/approve_deletions"),
            ({"approve_deletions": True}, "#/approve_deletions"),
            ({"makes": [HONDA]}, "#/makes"),
            ([], "#"),
        ],
    )
    def test_with_a_wrong_field_starts_nothing(
        self, client: FlaskClient, body: Any, pointer: str
    ) -> None:
        add_makes(Catalogue.sample())

        response = client.post(SYNCS, json=body)

        assert response.status_code == 422
        assert [error["pointer"] for error in response.get_json()["errors"]] == [pointer]
        assert db.session.query(Job).count() == 0

    @on_sqlite
    def test_says_which_makes_and_approvals_are_wrong(self, client: FlaskClient) -> None:
        add_makes(Catalogue.sample())
        unknown = client.post(SYNCS, json={"make_ids": [HONDA, 99]})
        assert pointers(unknown) == {"#/make_ids/1": "There is no make 99."}
        many = client.post(SYNCS, json={"make_ids": list(range(9_000, 9_030))})
        assert len(pointers(many)) == 20
        approved = client.post(SYNCS, json={"approve_deletions": True})
        assert pointers(approved) == {
            "#/approve_deletions": "Needs make_ids: deletions are approved make by make."
        }

    def test_reserves_its_requests_for_all_processes(
        self, app: Flask, settings: Settings, run_jobs: Callable[[], None]
    ) -> None:
        # So slow that the reservation lasts longer than the job.
        app.extensions["settings"] = replace(settings, nhtsa_requests_per_second=0.02)
        with transaction():
            db.session.add(VehicleMake(id=HONDA, name="Honda"))
            start_sync(None, approve_deletions=False)
        run_jobs()
        assert app.extensions["redis"].exists(KEY)

    @on_sqlite
    @pytest.mark.parametrize(
        ("rate", "make_ids", "seconds"),
        [
            (0.0, [1, 2], 6),  # a second for each
            (0.0, None, 12),
            (0.5, [1, 2], 12),
            (0.5, None, 24),
            (6.0, [1, 2], 1),
            (6.0, None, 2),
        ],
    )
    def test_may_take_three_times_as_long_as_its_requests_and_all_pauses(
        self, app: Flask, settings: Settings, rate: float, make_ids: list[int] | None, seconds: int
    ) -> None:
        app.extensions["settings"] = replace(settings, nhtsa_requests_per_second=rate)
        with transaction():
            db.session.add_all(VehicleMake(id=n, name=f"Make {n}") for n in range(1, 5))
            start_sync(make_ids, approve_deletions=False, owner="somebody")
        job = the_job()
        assert job.time_limit == 600 + 600 + seconds  # at least, for pauses, for requests
        assert job.owner == "somebody"

    def test_with_a_body_that_is_no_json_is_400(self, client: FlaskClient) -> None:
        response = client.post(SYNCS, data="{", content_type="application/json")

        assert response.status_code == 400

    def test_that_equals_the_queued_one_gets_the_same_job(self, client: FlaskClient) -> None:
        add_makes(Catalogue.sample())
        first = client.post(SYNCS, json={"make_ids": [HONDA, TOYOTA]})

        second = client.post(
            SYNCS, json={"make_ids": [TOYOTA, HONDA, HONDA], "approve_deletions": False}
        )

        assert second.status_code == 202
        assert second.get_json() == first.get_json()
        assert db.session.query(Job).count() == 1

    def test_with_defaults_filled_in_equals_the_empty_one(self, client: FlaskClient) -> None:
        first = client.post(SYNCS)

        second = client.post(SYNCS, json={"make_ids": None, "approve_deletions": False})

        assert second.get_json()["id"] == first.get_json()["id"]

    def test_a_sync_that_differs_from_the_queued_one_is_refused_with_its_url(
        self, client: FlaskClient
    ) -> None:
        add_makes(Catalogue.sample())
        first = client.post(SYNCS, json={"make_ids": [HONDA]})

        second = client.post(SYNCS, json={"make_ids": [TOYOTA]})

        assert second.status_code == 409
        assert second.get_json()["job_url"] == first.get_json()["url"]

    def test_after_the_end_of_the_one_before_gets_a_new_job(
        self, client: FlaskClient, run_jobs: Callable[[], None]
    ) -> None:
        first = client.post(SYNCS)
        run_jobs()

        second = client.post(SYNCS)

        assert second.get_json()["id"] != first.get_json()["id"]

    def test_sent_twice_at_once_makes_one_job(self, client: FlaskClient) -> None:
        together = threading.Barrier(4)
        answers = []

        def post() -> None:
            together.wait()
            answers.append(client.post(SYNCS))

        threads = [threading.Thread(target=post) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [answer.status_code for answer in answers] == [202] * 4
        assert len({answer.get_json()["id"] for answer in answers}) == 1

    def test_takes_as_many_queries_for_many_makes_as_for_few(
        self, client: FlaskClient, count_queries: Callable[[], AbstractContextManager[Queries]]
    ) -> None:
        with count_queries() as few:
            assert client.post(SYNCS).status_code == 202
        client.post(the_job_url(client) + "/cancel")
        add_makes(Catalogue.made_up(makes=2_000, models_per_make=0))
        with count_queries() as many:
            assert client.post(SYNCS).status_code == 202

        assert many.count == few.count


class TestResult:
    def test_of_a_first_sync_counts_what_was_created(
        self, client: FlaskClient, run_jobs: Callable[[], None]
    ) -> None:
        catalogue = Catalogue.sample()
        add_makes(catalogue)

        url = client.post(SYNCS).get_json()["url"]
        run_jobs()

        job = client.get(url).get_json()
        assert job["state"] == "succeeded"
        assert job["progress"] == {"done": 11, "total": 11}
        assert job["error"] is None
        assert job["finished_at"] is not None
        assert {make["id"]: make["created"] for make in job["result"]["makes_updated"]} == {
            make_id: len(models) for make_id, models in catalogue.models.items()
        }
        assert stored_models() == served_models(catalogue)
        assert "Retry-After" not in client.get(url).headers

    def test_of_a_second_sync_says_that_nothing_changed_and_nothing_was_written(
        self,
        client: FlaskClient,
        run_jobs: Callable[[], None],
        count_queries: Callable[[], AbstractContextManager[Queries]],
    ) -> None:
        add_makes(Catalogue.sample())
        client.post(SYNCS)
        run_jobs()

        url = client.post(SYNCS).get_json()["url"]
        with count_queries() as queries:
            run_jobs()

        assert client.get(url).get_json()["result"] == {
            "makes_updated": [],
            "makes_unchanged": 11,
            "makes_held": [],
            "makes_failed": [],
        }
        assert not [q for q in queries.statements if is_write_to("vehicle_model", q)]

    def test_the_result_counts_created_updated_and_deleted_models(
        self, client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic
    ) -> None:
        add_models({7: {1: "One", 2: "Two", 3: "Three"}})
        vpic.serve(catalogue_of({7: {1: "One", 2: "TWO", 4: "Four", 5: "Fünf"}}))

        url = client.post(SYNCS).get_json()["url"]
        run_jobs()

        assert client.get(url).get_json()["result"]["makes_updated"] == [
            {"id": 7, "name": "Make 7", "created": 2, "updated": 1, "deleted": 1}
        ]
        assert stored_models() == {7: {1: "One", 2: "TWO", 4: "Four", 5: "Fünf"}}
        assert client.get("/v1/models?name=fünf").get_json()["items"][0]["id"] == 5

    def test_counts_a_model_that_moves_to_another_make_as_created_there(
        self, client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic
    ) -> None:
        add_models({7: {1: "One"}, 8: {2: "Two", 3: "Three"}})
        vpic.serve(catalogue_of({7: {1: "One", 2: "Two"}, 8: {3: "Three"}}))

        url = client.post(SYNCS, json={"make_ids": [7]}).get_json()["url"]
        run_jobs()

        assert client.get(url).get_json()["result"]["makes_updated"] == [
            {"id": 7, "name": "Make 7", "created": 1, "updated": 0, "deleted": 0}
        ]
        assert stored_models() == {7: {1: "One", 2: "Two"}, 8: {3: "Three"}}

    def test_does_not_count_a_model_that_has_moved_away_as_deleted(
        self, client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic
    ) -> None:
        add_models({7: {1: "One"}, 8: {2: "Two", 3: "Three"}})
        vpic.serve(catalogue_of({7: {1: "One", 2: "Two"}, 8: {3: "Three"}}))
        client.post(SYNCS, json={"make_ids": [7]})
        run_jobs()

        url = client.post(SYNCS, json={"make_ids": [8]}).get_json()["url"]
        run_jobs()

        assert client.get(url).get_json()["result"]["makes_unchanged"] == 1

    def test_names_only_the_makes_that_were_asked_for(
        self, client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic
    ) -> None:
        add_makes(Catalogue.sample())

        url = client.post(SYNCS, json={"make_ids": [ISUZU, HONDA]}).get_json()["url"]
        run_jobs()

        updated = client.get(url).get_json()["result"]["makes_updated"]
        assert [make["id"] for make in updated] == [HONDA, ISUZU]
        assert {request.make_id for request in vpic.requests} == {HONDA, ISUZU}

    def test_of_an_empty_database_is_a_success(
        self, client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic
    ) -> None:
        url = client.post(SYNCS).get_json()["url"]
        run_jobs()

        job = client.get(url).get_json()
        assert job["state"] == "succeeded"
        assert job["progress"] == {"done": 0, "total": 0}
        assert job["result"]["makes_unchanged"] == 0
        assert vpic.request_count == 0

    def test_leaves_the_name_of_a_make_as_it_is(
        self, client: FlaskClient, run_jobs: Callable[[], None]
    ) -> None:
        add_makes(Catalogue.sample())
        client.patch(f"/v1/makes/{TOYOTA}", json={"name": "Toyota of ours"})
        client.post(SYNCS)
        run_jobs()

        assert client.get(f"/v1/makes/{TOYOTA}").get_json()["name"] == "Toyota of ours"

    def test_says_when_a_make_was_synced(
        self, client: FlaskClient, run_jobs: Callable[[], None]
    ) -> None:
        add_makes(Catalogue.sample())
        assert client.get(f"/v1/makes/{HONDA}").get_json()["synced_at"] is None
        client.post(SYNCS)
        run_jobs()

        assert client.get(f"/v1/makes/{HONDA}").get_json()["synced_at"].endswith("Z")


class TestHold:
    @pytest.fixture
    def forty(self, vpic: Vpic) -> Any:
        """Forty models stored, of which vPIC serves ten, and one that is new."""
        models = {i: f"Model {i}" for i in range(1, 41)}
        add_models({7: models, 8: {100: "Other"}})
        kept = {i: models[i] for i in range(1, 11)} | {99: "New"}
        vpic.serve(catalogue_of({7: kept, 8: {100: "Other"}}))
        return kept

    def test_keeps_everything_of_the_make_and_says_why(
        self, client: FlaskClient, run_jobs: Callable[[], None], forty: Any
    ) -> None:
        before = stored_models()
        url = client.post(SYNCS).get_json()["url"]
        run_jobs()

        result = client.get(url).get_json()["result"]
        assert result["makes_held"] == [
            {
                "id": 7,
                "name": "Make 7",
                "would_delete": 30,
                "reason": "It would delete 30 of 40 models",
            }
        ]
        assert result["makes_unchanged"] == 1
        assert stored_models() == before
        assert client.get("/v1/makes/7").get_json()["synced_at"] is None

    def test_is_lifted_by_an_approval_of_that_make(
        self, client: FlaskClient, run_jobs: Callable[[], None], forty: Any
    ) -> None:
        body = {"make_ids": [7], "approve_deletions": True}
        url = client.post(SYNCS, json=body).get_json()["url"]
        run_jobs()

        assert client.get(url).get_json()["result"]["makes_updated"] == [
            {"id": 7, "name": "Make 7", "created": 1, "updated": 0, "deleted": 30}
        ]
        assert stored_models()[7] == forty

    def test_lasts_from_the_first_sync_that_held_the_make_until_one_is_approved(
        self, client: FlaskClient, run_jobs: Callable[[], None], forty: Any
    ) -> None:
        def times() -> dict[int, tuple[Any, Any]]:
            db.session.rollback()
            rows = db.session.query(VehicleMake).populate_existing()
            return {make.id: (make.held_since, make.synced_at) for make in rows}

        for approved in (False, False, True):
            before = times()
            body = {"make_ids": [7], "approve_deletions": approved}
            assert client.post(SYNCS, json=body).status_code == 202
            run_jobs()
            held_since, synced_at = times()[7]
            assert (held_since is None, synced_at is None) == (approved, not approved)
            assert times()[8] == (None, None)
            if before[7][0] is not None and not approved:
                assert held_since == before[7][0]

    def test_of_an_empty_answer_comes_after_asking_again_at_once(
        self, client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic
    ) -> None:
        add_models({7: {1: "One"}})
        vpic.serve(catalogue_of({7: {}}))

        url = client.post(SYNCS).get_json()["url"]
        run_jobs()

        assert client.get(url).get_json()["result"]["makes_held"] == [
            {"id": 7, "name": "Make 7", "would_delete": 1, "reason": "NHTSA's answer was empty"}
        ]
        assert stored_models() == {7: {1: "One"}}
        assert vpic.request_count == 2

    def test_does_not_follow_from_an_answer_that_is_empty_once(
        self, client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic
    ) -> None:
        add_models({7: {1: "One"}})
        vpic.serve(catalogue_of({7: {1: "One"}}))
        vpic.order(Fault.EMPTY, make_id=7, times=1)

        url = client.post(SYNCS).get_json()["url"]
        run_jobs()

        assert client.get(url).get_json()["result"]["makes_unchanged"] == 1

    def test_does_not_follow_from_an_empty_answer_for_a_make_without_models(
        self, client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic
    ) -> None:
        add_makes(catalogue_of({7: {}}))
        vpic.serve(catalogue_of({7: {}}))

        url = client.post(SYNCS).get_json()["url"]
        run_jobs()

        assert client.get(url).get_json()["result"]["makes_unchanged"] == 1
        assert vpic.request_count == 1

    def test_of_an_empty_answer_is_lifted_by_an_approval_too(
        self, client: FlaskClient, run_jobs: Callable[[], None], vpic: Vpic
    ) -> None:
        add_models({7: {1: "One", 2: "Two"}})
        vpic.serve(catalogue_of({7: {}}))

        url = client.post(SYNCS, json={"make_ids": [7], "approve_deletions": True}).get_json()[
            "url"
        ]
        run_jobs()

        assert client.get(url).get_json()["result"]["makes_updated"][0]["deleted"] == 2
        assert stored_models() == {}


@on_sqlite
def test_pending_makes_are_read_in_batches_and_no_transaction_stays_open(
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    count_queries: Callable[[], AbstractContextManager[Queries]],
) -> None:
    monkeypatch.setattr(sync, "READ_AHEAD", 2)
    own = LARGEST_NHTSA_ID + 1
    add_models({1: {}, 2: {5: "Five"}, 3: {own: "Our own"}, 4: {}, 5: {6: "Six"}})
    with transaction():
        jobs = [start_sync(None, approve_deletions=False), submit(VIN_DECODING)]
        assert [sync.enqueue_makes(job.id, None) for job in jobs if job] == [5, 5]
    assert jobs[0] is not None
    seen = []
    for make in sync.pending_makes(jobs[0].id):
        # SQLAlchemy types the pool by its base class, which does not count.
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        seen.append((make.make_id, make.has_models))
        with transaction():
            sync.fail(jobs[0].id, {make.make_id: f"Reason {make.make_id}"})
        if make.make_id == 4:
            break
    assert seen == [(1, False), (2, True), (3, False), (4, False)]
    assert [make.make_id for make in sync.pending_makes(jobs[0].id)] == [5]
    with transaction():
        reason = "x" * (LONGEST_REASON + 1)
        assert sync.fail_remaining(jobs[0].id, reason) == 1
    assert sync.summary(jobs[0].id) == {
        "makes_updated": [],
        "makes_unchanged": 0,
        "makes_held": [],
        "makes_failed": [
            {"id": i, "name": f"Make {i}", "reason": f"Reason {i}" if i < 5 else reason[:-1]}
            for i in range(1, 6)
        ],
    }
    with count_queries() as queries:
        assert len(list(sync.pending_makes(jobs[1].id))) == 5  # those of another job
    reads = [statement for statement in queries.statements if statement.startswith("SELECT")]
    assert len(reads) == 4  # two makes, two, one, and none


class TestWhileASyncRuns:
    def test_a_make_that_is_added_is_left_for_the_next(
        self,
        client: FlaskClient,
        run_jobs: Callable[[], None],
        vpic: Vpic,
        when_asked: Callable[[int, Callable[[], Any]], None],
    ) -> None:
        add_models({7: {}, 9: {}})
        vpic.serve(catalogue_of({7: {1: "One"}, 8: {2: "Two"}, 9: {3: "Three"}}))
        when_asked(7, lambda: client.post("/v1/makes", json={"id": 8, "name": "Late"}))

        url = client.post(SYNCS).get_json()["url"]
        run_jobs()

        job = client.get(url).get_json()
        assert job["progress"] == {"done": 2, "total": 2}
        assert [make["id"] for make in job["result"]["makes_updated"]] == [7, 9]
        assert client.get("/v1/makes/8").get_json()["synced_at"] is None

    def test_a_make_that_is_deleted_is_reported_as_failed(
        self,
        client: FlaskClient,
        run_jobs: Callable[[], None],
        vpic: Vpic,
        when_asked: Callable[[int, Callable[[], Any]], None],
    ) -> None:
        add_models({7: {}, 8: {}})
        vpic.serve(catalogue_of({7: {1: "One"}, 8: {2: "Two"}}))
        when_asked(8, lambda: client.delete("/v1/makes/8"))

        url = client.post(SYNCS).get_json()["url"]
        run_jobs()

        assert client.get(url).get_json()["result"]["makes_failed"] == [
            {"id": 8, "name": "Make 8", "reason": "The make was deleted while the sync ran."}
        ]
        assert stored_models() == {7: {1: "One"}}

    def test_cancelling_ends_it_at_once_and_keeps_what_was_written(
        self,
        client: FlaskClient,
        run_jobs: Callable[[], None],
        vpic: Vpic,
        when_asked: Callable[[int, Callable[[], Any]], None],
    ) -> None:
        makes = {i: {i: f"Model {i}"} for i in range(1, 101)}
        add_models({make_id: {} for make_id in makes})
        vpic.serve(catalogue_of(makes))
        url = client.post(SYNCS).get_json()["url"]
        cancelled = []
        when_asked(50, lambda: cancelled.append(client.post(f"{url}/cancel")))

        run_jobs()

        until(lambda: cancelled)  # the job may end before the answer is here
        assert cancelled[0].status_code == 200
        assert cancelled[0].json["state"] == "cancelled"
        job = client.get(url).get_json()
        assert job["state"] == "cancelled"
        assert job["progress"]["done"] == len(stored_models()) < 100
        assert client.post(f"{url}/cancel").status_code == 409
        assert client.post(SYNCS).status_code == 202

    def test_a_restarted_job_asks_for_no_make_twice(
        self,
        client: FlaskClient,
        run_jobs: Callable[[], None],
        vpic: Vpic,
        when_asked: Callable[[int, Callable[[], Any]], None],
    ) -> None:
        makes = {i: {i: f"Model {i}"} for i in range(1, 61)}
        add_models({make_id: {} for make_id in makes})
        vpic.serve(catalogue_of(makes))
        url = client.post(SYNCS).get_json()["url"]
        when_asked(30, context.stopping.set)

        run_jobs()
        handed_back = client.get(url).get_json()
        done_before = {make_id for make_id, models in stored_models().items() if models}
        asked_before = [request.make_id for request in vpic.requests]
        run_jobs()

        assert handed_back["state"] == "queued"
        assert handed_back["attempts"] == 0
        assert 0 < len(done_before) < 60
        job = client.get(url).get_json()
        assert job["state"] == "succeeded"
        assert job["attempts"] == 1
        assert len(job["result"]["makes_updated"]) == 60
        asked_after = [request.make_id for request in vpic.requests[len(asked_before) :]]
        assert not done_before & set(asked_after)


def test_deleting_a_job_takes_its_outcomes_along(
    client: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    add_makes(Catalogue.sample())
    client.post(SYNCS)
    run_jobs()
    with transaction():
        db.session.delete(the_job())

    assert db.session.query(SyncOutcome).count() == 0
    assert db.session.query(VehicleMake).count() == 11
    assert db.session.query(VehicleModel).count() > 0


def the_job_url(client: FlaskClient) -> Any:
    return client.get("/jobs?state=queued").get_json()["items"][0]["url"]


def is_write_to(table: str, statement: str) -> bool:
    return statement.split(maxsplit=1)[0] in ("INSERT", "UPDATE", "DELETE") and table in statement
