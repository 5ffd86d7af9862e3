"""Imports of CSV over HTTP: `POST /v1/customers/imports` and `POST /v1/cars/imports`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select
from werkzeug.test import TestResponse

from automart.accounts.models import User
from automart.background.csv_imports import MAX_UPLOAD_BYTES
from automart.background.maintenance import delete_inputs
from automart.background.models import Job, JobInput, JobState
from automart.core.db import db, transaction
from automart.customers import service
from automart.customers.models import Customer
from automart.inventory.models import Car
from jobs import runner
from jobs.context import stopping
from jobs.housekeeping import all_tasks
from tests.customers.pictures import form
from tests.support import people
from tests.support.databases import on_sqlite
from tests.support.inventory import add_catalogue, make_dealer, pointers
from tests.support.sync import the_job

GOOD = "First Name;E-mail Address;Surname\nZoë;zoe@example.com;Quinn\nBo;;Ek\n"
BAD = 'first_name,last_name\nAda,Lovelace\n,"No\nname"\nBo,Ek\n"Stray,quote\n'
CARS = "make,model,year,colour,daily_price,vin,dealer_id\n"
RunJobs = Callable[[], None]


@pytest.fixture
def client(as_user: FlaskClient) -> FlaskClient:
    return as_user


def send(
    client: FlaskClient, content: str | bytes, what: str = "customers", **fields: str
) -> TestResponse:
    raw = content.encode() if isinstance(content, str) else content
    headers = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
    form: dict[str, Any] = {"file": (io.BytesIO(raw), "file.csv"), **fields}
    return client.post(f"/v1/{what}/imports", data=form, headers=headers)


def finished(client: FlaskClient, accepted: TestResponse, run_jobs: RunJobs) -> dict[str, Any]:
    """Run the accepted job and return it."""
    assert accepted.status_code == 202, accepted.text
    assert accepted.get_json()["kind"] == "csv_import"
    run_jobs()
    job: dict[str, Any] = client.get(accepted.headers["Location"]).get_json()
    return job


def names() -> list[tuple[str, str]]:
    rows = db.session.execute(select(Customer.first_name, Customer.last_name).order_by(Customer.id))
    return [(first, last) for first, last in rows]


def test_customers_are_imported_by_the_caller(client: FlaskClient, run_jobs: RunJobs) -> None:
    job = finished(client, send(client, GOOD), run_jobs)
    assert (job["state"], job["error"]) == ("succeeded", None)
    assert job["result"] == {"imported": 2, "refused_count": 0, "refused": []}
    assert job["progress"] == {"done": 2, "total": 2}
    me = client.get("/v1/users/me").get_json()["id"]
    zoe, bo = client.get("/v1/customers").get_json()["items"]
    assert (zoe["last_name"], zoe["email"], bo["email"]) == ("Quinn", "zoe@example.com", None)
    for customer in (zoe, bo):
        assert customer["created_by"] == customer["updated_by"] == me
        assert customer["created_at"] == customer["updated_at"]


def test_one_refused_record_keeps_all_others_out(client: FlaskClient, run_jobs: RunJobs) -> None:
    job = finished(client, send(client, BAD), run_jobs)
    assert (job["state"], job["error"]["status"]) == ("failed", 422)
    assert "2 of 4 records are wrong" in job["error"]["detail"]
    assert job["result"]["imported"] == 0
    assert [refused["lines"] for refused in job["result"]["refused"]] == [[3, 4], [6, 6]]
    assert job["result"]["refused"][0]["reasons"] == [
        "first_name: Must not be blank.",
        "last_name: Control characters are not allowed.",
    ]
    assert names() == []


def test_good_records_are_imported_with_keep_good(client: FlaskClient, run_jobs: RunJobs) -> None:
    job = finished(client, send(client, BAD, keep_good="true"), run_jobs)
    assert job["state"] == "succeeded"
    assert (job["result"]["imported"], job["result"]["refused_count"]) == (2, 2)
    assert names() == [("Ada", "Lovelace"), ("Bo", "Ek")]


def test_only_the_first_thousand_refused_records_are_listed(
    client: FlaskClient, run_jobs: RunJobs
) -> None:
    job = finished(client, send(client, "first_name,last_name\n" + "x\n" * 1_500), run_jobs)
    assert job["result"]["refused_count"] == 1_500
    assert [r["lines"] for r in job["result"]["refused"]] == [[n, n] for n in range(2, 1_002)]


def test_cars_are_imported(client: FlaskClient, run_jobs: RunJobs) -> None:
    add_catalogue()
    dealer = make_dealer().id
    content = f"{CARS}honda,CIVIC,2024,red,49.9,WBA00000000ABCDE1,{dealer}\n"
    job = finished(client, send(client, content, "cars"), run_jobs)
    assert job["result"] == {"imported": 1, "refused_count": 0, "refused": []}
    (car,) = client.get("/v1/cars").get_json()["items"]
    assert (car["brand"], car["model"], car["daily_price"]) == ("Honda", "Civic", 49.9)
    again = finished(client, send(client, content, "cars"), run_jobs)
    assert again["result"]["refused"] == [
        {"lines": [2, 2], "reasons": ["vin: There is a car with this VIN already."]}
    ]
    assert len(db.session.scalars(select(Car)).all()) == 1


def test_a_file_in_another_encoding(client: FlaskClient, run_jobs: RunJobs) -> None:
    content = "first_name,last_name\nJürgen,Groß\n".encode("windows-1252")
    job = finished(client, send(client, content), run_jobs)
    assert "windows-1252" in job["result"]["refused"][0]["reasons"][0]
    finished(client, send(client, content, encoding="Windows-1252"), run_jobs)
    assert names() == [("Jürgen", "Groß")]


def test_what_is_not_csv_fails_the_job(client: FlaskClient, run_jobs: RunJobs) -> None:
    for content, detail in (
        (b"", "The file is empty."),
        (b"PK\x03\x04\x14\0\x06\0", "This is a workbook, not CSV."),
        (b"a,b\n1,2\n", "Its headings name unknown columns: 'a', 'b'."),
    ):
        job = finished(client, send(client, content), run_jobs)
        assert (job["state"], job["error"]["status"]) == ("failed", 422)
        assert job["error"]["detail"].startswith(detail)
        assert job["result"] is None


def test_a_wrong_form_is_refused_at_once(client: FlaskClient) -> None:
    for fields, pointer in (
        ({"encoding": "klingon"}, "#/encoding"),
        ({"encoding": "rot13"}, "#/encoding"),
        ({"keep_good": "yes"}, "#/keep_good"),
        ({"map": "a=b"}, "#/map"),
    ):
        response = send(client, GOOD, **fields)
        assert (response.status_code, pointers(response)) == (422, {pointer})
    detail = "This encoding is not known. Examples: utf-8, windows-1252."
    unknown = send(client, GOOD, encoding="klingon").get_json()["errors"]
    assert unknown == [{"pointer": "#/encoding", "detail": detail}]
    assert send(client, GOOD, encoding="", keep_good="").status_code == 202
    url = "/v1/customers/imports"
    assert pointers(
        client.post(url, data={"file": "text"}, content_type="multipart/form-data")
    ) == {"#/file"}
    twice = {"file": [(io.BytesIO(b"a"), "a.csv"), (io.BytesIO(b"b"), "b.csv")]}
    assert pointers(client.post(url, data=twice)) == {"#/file"}
    as_file = {"file": (io.BytesIO(b"a"), "a"), "encoding": (io.BytesIO(b"utf-8"), "e")}
    assert pointers(client.post(url, data=as_file)) == {"#/encoding"}
    assert client.post(url, json={"file": "a"}).status_code == 415
    assert client.get(url).status_code == 405
    assert db.session.query(Job).count() == 1


@on_sqlite
def test_a_file_above_10_megabytes_is_refused(client: FlaskClient) -> None:
    refused, accepted = (
        client.post("/v1/customers/imports", **form(("file", "file.csv", b"x" * size)))
        for size in (MAX_UPLOAD_BYTES + 1, MAX_UPLOAD_BYTES)
    )
    assert refused.status_code == 413
    assert refused.get_json()["detail"] == "A CSV file has at most 10000000 bytes."
    assert accepted.status_code == 202
    assert the_job().time_limit == 1_800


def test_a_repeated_request_with_the_same_key_is_one_import(
    client: FlaskClient, run_jobs: RunJobs
) -> None:
    first, second = (send(client, GOOD, key="once") for _ in range(2))
    assert first.get_json()["id"] == second.get_json()["id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert send(client, BAD, key="once").status_code == 422
    run_jobs()
    assert len(names()) == 2


def test_customers_of_a_user_who_was_deleted_before_the_import_have_no_creator(
    app: Flask, run_jobs: RunJobs, make_user: Callable[..., User], client: FlaskClient
) -> None:
    user = make_user()
    send(people.signed_in(app, user), GOOD)
    with transaction():
        db.session.execute(delete(User).where(User.id == user.id))
    run_jobs()
    assert [c["created_by"] for c in client.get("/v1/customers").get_json()["items"]] == [None] * 2


class Killed(BaseException):
    """Ends a run at any point, as SIGKILL does: nothing is recorded."""


@pytest.mark.parametrize("point", ["before the records", "before the end", "after the end"])
def test_an_import_whose_worker_is_killed_is_run_again_and_imports_once(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, run_jobs: RunJobs, point: str
) -> None:
    accepted = send(client, GOOD)
    create = service.create_customers

    def create_and_die(*arguments: Any) -> None:
        if point == "before the end":
            create(*arguments)
        raise Killed

    if point != "after the end":
        monkeypatch.setattr(service, "create_customers", create_and_die)
        with pytest.raises(Killed):
            runner.run(accepted.get_json()["id"])
        monkeypatch.undo()
    else:
        runner.run(accepted.get_json()["id"])
    db.session.rollback()
    with transaction():  # what housekeeping does when the lease has run out
        for job in db.session.scalars(select(Job).where(Job.state == JobState.RUNNING)):
            job.update({"state": JobState.QUEUED, "claim": None, "lease_until": None})
    run_jobs()
    runner.run(accepted.get_json()["id"])  # a duplicate message
    job = client.get(accepted.headers["Location"]).get_json()
    assert (job["state"], job["result"]["imported"]) == ("succeeded", 2)
    assert len(names()) == 2


def test_a_worker_that_stops_hands_the_import_back(client: FlaskClient, run_jobs: RunJobs) -> None:
    accepted = send(client, GOOD)
    stopping.set()
    try:
        runner.run(accepted.get_json()["id"])
    finally:
        stopping.clear()
    db.session.rollback()
    assert client.get(accepted.headers["Location"]).get_json()["state"] == "queued"
    assert names() == []
    run_jobs()
    assert len(names()) == 2


def test_a_file_is_deleted_after_its_job_has_ended(
    client: FlaskClient, run_jobs: RunJobs, settings: Any
) -> None:
    send(client, GOOD)
    assert delete_inputs() == 0
    send(client, BAD)
    run_jobs()
    db.session.rollback()
    assert delete_inputs() == 2
    assert db.session.query(JobInput).count() == 0
    assert delete_inputs in [task.function for task in all_tasks(settings)]
    send(client, GOOD)
    with transaction():
        db.session.execute(delete(Job))
    assert db.session.query(JobInput).count() == 0


def test_the_document_describes_the_form(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    for path in ("/v1/customers/imports", "/v1/cars/imports"):
        operation = document["paths"][path]["post"]
        (media_type,) = operation["requestBody"]["content"]
        assert media_type == "multipart/form-data"
        assert {"202", "200", "413", "415", "422"} <= operation["responses"].keys()
    schema = document["components"]["schemas"]["CsvImport"]
    assert schema["required"] == ["file"]
    assert set(schema["properties"]) == {"file", "encoding", "keep_good"}
