"""`POST /v1/vin-decodings`, and the job that asks NHTSA."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from automart.background.models import Job, JobState
from automart.catalogue.nhtsa import NhtsaClient
from automart.catalogue.shared_pace import KEY
from automart.core.config import Settings
from automart.core.db import db, transaction, utcnow
from automart.vins import service
from automart.vins.decoding import NO_CHECK_DIGIT, NOT_ANSWERED, WRONG_CHECK_DIGIT
from automart.vins.maintenance import expire_vin_decodings
from automart.vins.models import VinDecoding
from jobs import runner
from jobs.context import stopping
from jobs.housekeeping import all_tasks
from sandbox import Fault, Vpic
from tests.support.catalogue import add_make
from tests.support.inventory import pointers

CIVIC, CR_V, CAMRY = "2HGFC2F56KH512345", "JHLRD68404C018253", "4T1B11HKXJU123456"
MAZDA, BMW, TESLA = "JM3KE4DY9G0612345", "5UXWX7C51BL123456", "5YJSA3DS4EFP12345"
WRONG_CIVIC = "2HGFC2F55KH512345"
FOREIGN = "VF1AAAAA0AA000001"
HONDA, TOYOTA = 474, 448
URL = "/v1/vin-decodings"
RunJobs = Callable[[], None]


@pytest.fixture
def client(as_user: FlaskClient) -> FlaskClient:
    return as_user


def post(client: FlaskClient, *vins: str, **headers: str) -> TestResponse:
    return client.post(URL, json={"vins": list(vins)}, headers=headers)


def finished(client: FlaskClient, accepted: TestResponse, run_jobs: RunJobs) -> dict[str, Any]:
    """Run the accepted job and return it."""
    assert accepted.status_code == 202, accepted.text
    assert accepted.get_json()["kind"] == "vin_decoding"
    run_jobs()
    job: dict[str, Any] = client.get(accepted.headers["Location"]).get_json()
    return job


def decode(client: FlaskClient, run_jobs: RunJobs, *vins: str) -> list[dict[str, Any]]:
    job = finished(client, post(client, *vins), run_jobs)
    assert job["state"] == "succeeded", job["error"]
    vehicles: list[dict[str, Any]] = job["result"]["vehicles"]
    return vehicles


def requested(vpic: Vpic) -> list[str]:
    """Return the VINs of each request, joined by blanks."""
    return [r.path.partition("data=")[2].replace("%3B", " ") for r in vpic.requests]


def grow_older(age: timedelta) -> None:
    with transaction():
        db.session.execute(update(VinDecoding).values(decoded_at=utcnow() - age))


def test_a_vin_fills_in_the_make_and_model_of_the_catalogue(
    client: FlaskClient, run_jobs: RunJobs
) -> None:
    add_make(HONDA, "Honda (Europe)", {1863: "Civic Sedan"})
    job = finished(client, client.post(URL, json={"vin": f" {CIVIC.lower()} "}), run_jobs)
    assert job["result"] == {
        "vehicles": [
            {
                "vin": CIVIC,
                "make": "Honda (Europe)",
                "model": "Civic Sedan",
                "year": 2019,
                "body_class": "Sedan/Saloon",
                "fuel_type": "Gasoline",
                "plant_country": "CANADA",
                "warnings": [],
            }
        ]
    }
    assert job["progress"] == {"done": 1, "total": 1}
    assert db.session.get_one(Job, uuid.UUID(job["id"])).time_limit == 240


def test_what_the_catalogue_lacks_is_spelt_as_by_nhtsa(
    client: FlaskClient, run_jobs: RunJobs
) -> None:
    add_make(HONDA, "Honda", {1863: "Civic"})
    add_make(TOYOTA, "Toyota", {1865: "Not a Honda"})
    vehicles = decode(client, run_jobs, BMW, CR_V, CAMRY)
    assert [(v["make"], v["model"]) for v in vehicles] == [
        ("BMW", "X3"),
        ("Honda", "CR-V"),  # the catalogue has this id under another make
        ("Toyota", "Camry"),
    ]


def test_vehicles_come_in_the_order_of_the_request_and_as_often(
    client: FlaskClient, run_jobs: RunJobs, vpic: Vpic
) -> None:
    vins = [CAMRY, CIVIC, BMW, CIVIC]
    assert [v["vin"] for v in decode(client, run_jobs, *vins)] == vins
    assert requested(vpic) == [f"{CAMRY} {CIVIC} {BMW}"]


def test_nhtsa_is_asked_again_only_after_30_days(
    client: FlaskClient, run_jobs: RunJobs, vpic: Vpic, settings: Settings
) -> None:
    decode(client, run_jobs, CIVIC)
    grow_older(timedelta(days=29, hours=23))
    assert expire_vin_decodings() == 0
    add_make(HONDA, "Honda", {1863: "Civic"})  # stored answers are shown in its spelling
    vehicles = decode(client, run_jobs, CIVIC, CAMRY)
    assert [v["make"] for v in vehicles] == ["Honda", "TOYOTA"]
    assert requested(vpic) == [CIVIC, CAMRY]
    assert service.find_decodings([CAMRY, BMW]).keys() == {CAMRY}
    decode(client, run_jobs, CIVIC, CAMRY)
    assert vpic.request_count == 2
    grow_older(timedelta(days=30))
    assert [v["model"] for v in decode(client, run_jobs, CIVIC)] == ["Civic"]
    assert requested(vpic)[2:] == [CIVIC]
    assert expire_vin_decodings() == 1
    db.session.rollback()
    assert [row.vin for row in db.session.query(VinDecoding)] == [CIVIC]
    assert expire_vin_decodings in [task.function for task in all_tasks(settings)]


def test_what_is_wrong_or_unknown_is_a_warning(client: FlaskClient, run_jobs: RunJobs) -> None:
    wrong, mazda, tesla, foreign = decode(client, run_jobs, WRONG_CIVIC, MAZDA, TESLA, FOREIGN)
    assert (wrong["model"], wrong["warnings"]) == ("Civic", [WRONG_CHECK_DIGIT])
    assert (mazda["make"], mazda["model"], mazda["year"]) == ("MAZDA", None, 2016)
    assert mazda["warnings"] == [
        "NHTSA does not know the meaning of all characters.",
        "NHTSA does not know the model.",
    ]
    assert (tesla["model"], tesla["fuel_type"]) == ("Model S", None)
    assert tesla["warnings"] == [
        "Some characters are wrong.",
        "NHTSA does not know the meaning of all characters.",
        "NHTSA suggests 5YJSA3D!4EFP12345. Each ! is a character that it cannot correct.",
    ]
    assert {foreign.pop(name) for name in ("make", "model", "year", "body_class")} == {None}
    assert foreign["warnings"][0] == NO_CHECK_DIGIT
    assert foreign["warnings"][1].startswith("NHTSA does not know the manufacturer")


def test_a_wrong_request_is_refused_at_once(client: FlaskClient) -> None:
    for body, wrong in (
        ({}, {"#/vin"}),
        ({"vin": CIVIC, "vins": [CIVIC]}, {"#/vins"}),
        ({"vin": CIVIC[:16]}, {"#/vin"}),
        ({"vin": CIVIC + "1"}, {"#/vin"}),
        ({"vin": "2HGFC2F56KH51234O"}, {"#/vin"}),
        ({"vin": None}, {"#/vin"}),
        ({"vin": 12345678901234567}, {"#/vin"}),
        ({"vin": [CIVIC]}, {"#/vin"}),
        ({"vins": []}, {"#/vins"}),
        ({"vins": CIVIC}, {"#/vins"}),
        ({"vins": None}, {"#/vins"}),
        ({"vins": [CIVIC, "I" * 17, None]}, {"#/vins/1", "#/vins/2"}),
        ({"vins": [CIVIC] * 51}, {"#/vins"}),
        ({"vin": CIVIC, "year": 2019}, {"#/year"}),
    ):
        response = client.post(URL, json=body)
        assert (response.status_code, pointers(response)) == (422, wrong), body
    neither = client.post(URL, json={}).get_json()["errors"]
    assert neither == [{"pointer": "#/vin", "detail": "Send either vin or vins."}]
    assert db.session.query(Job).count() == 0
    assert post(client, *[CIVIC] * 50).status_code == 202


def test_a_decoding_reserves_its_request_for_all_processes(
    app: Flask, settings: Settings, client: FlaskClient, run_jobs: RunJobs
) -> None:
    # So slow that the reservation lasts longer than the job.
    app.extensions["settings"] = replace(settings, nhtsa_requests_per_second=0.02)
    decode(client, run_jobs, CIVIC)
    assert app.extensions["redis"].exists(KEY)


def test_a_repeated_request_with_the_same_key_is_one_job(client: FlaskClient) -> None:
    first, second = (post(client, CIVIC, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.get_json()["id"] == second.get_json()["id"]
    assert post(client, CAMRY, **{"Idempotency-Key": "k"}).status_code == 422
    assert db.session.query(Job).count() == 1


def test_only_the_owner_and_administrators_see_the_job(
    client: FlaskClient, as_catalogue: FlaskClient, as_admin: FlaskClient
) -> None:
    location = post(client, CIVIC).headers["Location"]
    assert as_catalogue.get(location).status_code == 404
    assert as_admin.get(location).status_code == 200
    assert as_catalogue.get(post(as_catalogue, CIVIC).headers["Location"]).status_code == 200
    assert client.post(f"{location}/cancel").status_code == 409


class TestFailures:
    def test_an_answer_that_cannot_be_used_fails_the_job_and_is_not_stored(
        self, client: FlaskClient, run_jobs: RunJobs, vpic: Vpic
    ) -> None:
        reasons: Mapping[Fault, str] = {
            Fault.HTML: "NHTSA's answer is not JSON",
            Fault.BROKEN_JSON: "NHTSA's answer is not JSON",
            Fault.WRONG_SHAPE: "NHTSA's answer has no list of results.",
            Fault.TRUNCATED: "NHTSA's answer is truncated: it counts 2 and has 1.",
            Fault.EMPTY: "NHTSA's answer contains none of these VINs.",
        }
        for fault, reason in reasons.items():
            vpic.order(fault)
            job = finished(client, post(client, CIVIC, CAMRY), run_jobs)
            assert (job["state"], job["error"]["status"]) == ("failed", 502), fault
            assert job["error"]["detail"].startswith(reason)
            assert job["result"] is None
        vpic.behave()
        assert db.session.query(VinDecoding).count() == 0
        assert [v["model"] for v in decode(client, run_jobs, CIVIC)] == ["Civic"]

    def test_a_passing_failure_or_an_empty_answer_is_followed_by_another_request(
        self, client: FlaskClient, run_jobs: RunJobs, vpic: Vpic
    ) -> None:
        vpic.order(Fault.SERVER_ERROR, make_id=HONDA, times=1)
        vpic.order(Fault.EMPTY, make_id=HONDA, times=1)
        assert [v["model"] for v in decode(client, run_jobs, CIVIC)] == ["Civic"]
        assert requested(vpic) == [CIVIC] * 3

    def test_a_pause_of_more_than_a_minute_is_not_waited_for(
        self, client: FlaskClient, run_jobs: RunJobs, vpic: Vpic
    ) -> None:
        vpic.order(Fault.TOO_MANY_REQUESTS, retry_after=61)
        job = finished(client, post(client, CIVIC), run_jobs)
        assert job["error"]["detail"] == (
            "NHTSA answered 429 Too Many Requests and asks for a pause of 61 seconds."
        )

    def test_a_vin_that_the_answer_lacks_is_a_warning_and_asked_for_again(
        self, client: FlaskClient, run_jobs: RunJobs, vpic: Vpic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = NhtsaClient.decode_vins

        def partly(client: NhtsaClient, vins: list[str]) -> dict[str, Any]:
            return {vin: row for vin, row in whole(client, vins).items() if vin != CAMRY}

        monkeypatch.setattr(NhtsaClient, "decode_vins", partly)
        civic, camry = decode(client, run_jobs, CIVIC, CAMRY)
        assert (civic["model"], civic["warnings"]) == ("Civic", [])
        assert (camry["make"], camry["warnings"]) == (None, [NOT_ANSWERED])
        monkeypatch.undo()
        assert [v["model"] for v in decode(client, run_jobs, CIVIC, CAMRY)] == ["Civic", "Camry"]
        assert requested(vpic)[-1] == CAMRY

    def test_no_connection_to_the_database_is_used_during_the_request(
        self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, used, pool = NhtsaClient.decode_vins, list[int](), db.engine.pool

        def watched(client: NhtsaClient, vins: list[str]) -> Any:
            used.append(pool.checkedout())  # type: ignore[attr-defined] # of a QueuePool
            return whole(client, vins)

        monkeypatch.setattr(NhtsaClient, "decode_vins", watched)
        job_id = post(client, CIVIC).get_json()["id"]
        db.session.rollback()
        runner.run(job_id)
        assert used == [0]


class Killed(BaseException):
    """Ends a run at any point, as SIGKILL does: nothing is recorded."""


def test_a_decoding_whose_worker_is_killed_is_run_again(
    client: FlaskClient, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = post(client, CIVIC)

    def die(*_arguments: Any) -> None:
        raise Killed

    monkeypatch.setattr(service, "describe_vehicles", die)
    with pytest.raises(Killed):
        runner.run(accepted.get_json()["id"])
    monkeypatch.undo()
    db.session.rollback()
    assert db.session.query(VinDecoding).count() == 0
    with transaction():  # what housekeeping does when the lease has run out
        db.session.execute(update(Job).values(state=JobState.QUEUED, claim=None, lease_until=None))
    job = finished(client, accepted, run_jobs)
    assert job["result"]["vehicles"][0]["model"] == "Civic"
    runner.run(job["id"])  # a duplicate message
    assert client.get(accepted.headers["Location"]).get_json() == job


def test_a_worker_that_stops_does_not_wait_for_nhtsa(
    app: Flask, client: FlaskClient, run_jobs: RunJobs, vpic: Vpic
) -> None:
    accepted = post(client, CIVIC)
    vpic.order(Fault.TIMEOUT)
    arrived = threading.Thread(target=_stop_at_request, args=(vpic,))
    arrived.start()
    runner.run(accepted.get_json()["id"])
    arrived.join()
    db.session.rollback()
    assert client.get(accepted.headers["Location"]).get_json()["state"] == "queued"
    vpic.behave()
    assert finished(client, accepted, run_jobs)["state"] == "succeeded"


def _stop_at_request(vpic: Vpic) -> None:
    while not vpic.request_count:
        stopping.wait(0.01)
    stopping.set()
