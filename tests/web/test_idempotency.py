"""Idempotency-Key: a repeated POST is executed once, and gets the same response."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from automart.background import Job
from automart.catalogue.models import VehicleMake
from automart.core.db import db, transaction, utcnow
from automart.web import IdempotencyKey, expire_idempotency_keys, idempotent
from automart.web.idempotency import _fingerprint
from tests.support.catalogue import HONDA, add_make
from tests.support.http import Watched, assert_problem, at_once, pointers
from tests.support.logs import logged

HONDA_BODY = {"id": HONDA, "name": "Honda"}


def post(
    client: FlaskClient, key: str, body: object = HONDA_BODY, path: str = "/v1/makes"
) -> TestResponse:
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def grow_older(age: timedelta) -> None:
    with transaction():
        db.session.execute(update(IdempotencyKey).values(created_at=utcnow() - age))


def keys() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(IdempotencyKey)) or 0


def test_a_repeated_request_gets_the_same_response(client: FlaskClient) -> None:
    first, again = post(client, "k"), post(client, "k")
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.status_code == first.status_code == 201
    assert again.data == first.data
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]


def test_the_response_is_repeated_even_if_the_resource_has_changed(
    client: FlaskClient,
) -> None:
    first = post(client, "k")
    client.patch(f"/v1/makes/{HONDA}", json={"name": "Acura"})
    assert post(client, "k").data == first.data
    client.delete(f"/v1/makes/{HONDA}")
    assert post(client, "k").data == first.data
    assert_problem(client.get(f"/v1/makes/{HONDA}"), 404)


def test_a_repeated_request_without_a_key_is_a_conflict(client: FlaskClient) -> None:
    post(client, "k")
    assert_problem(client.post("/v1/makes", json=HONDA_BODY), 409)
    assert_problem(post(client, "another"), 409)


def test_the_prefix_does_not_make_it_another_request(client: FlaskClient) -> None:
    post(client, "k")
    assert post(client, "k", path="/api/v1/makes").headers["Idempotent-Replayed"] == "true"


def test_the_same_key_with_another_body_or_path_is_422(client: FlaskClient) -> None:
    post(client, "k")
    for body in ({"id": 1, "name": "Honda"}, {"id": HONDA, "name": "Acura"}):
        problem = assert_problem(post(client, "k", body), 422)
        assert problem["detail"] == "This Idempotency-Key was used before, for another request."
    assert_problem(post(client, "k", HONDA_BODY, "/v1/vehicle-syncs"), 422)
    assert [make["id"] for make in client.get("/v1/makes").get_json()["items"]] == [HONDA]


def test_keys_differ_in_case(client: FlaskClient) -> None:
    assert post(client, "k").status_code == 201
    assert post(client, "K", {"id": 1, "name": "Acura"}).status_code == 201


def test_a_key_of_a_request_that_failed_can_be_used_again(client: FlaskClient) -> None:
    add_make(1, "honda")
    assert_problem(post(client, "k"), 409)
    assert pointers(post(client, "k", {})).keys() == {"#/name"}
    assert_problem(client.post("/v1/makes", data="{", headers={"Idempotency-Key": "k"}), 415)
    assert keys() == 0
    client.delete("/v1/makes/1")
    response = post(client, "k")
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response.headers


@pytest.mark.parametrize("fails", [True, False])
def test_key_and_resource_are_stored_together_or_not_at_all(app: Flask, fails: bool) -> None:
    @app.post("/twofold")
    @idempotent
    def twofold() -> tuple[str, int]:
        with transaction():
            db.session.add(VehicleMake(id=1, name="Acura"))
        if fails:
            raise RuntimeError("after what should have been a commit")
        return "", 201

    response = post(app.test_client(), "k", path="/twofold")
    assert response.status_code == (500 if fails else 201)
    assert keys() == (0 if fails else 1)
    assert (db.session.get(VehicleMake, 1) is None) == fails


def test_only_successes_are_stored(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    @app.post("/status/<int:status>")
    @idempotent
    def responds(status: int) -> tuple[str, int]:
        return "", status

    for status, shown in ((200, 200), (299, 299), (300, 500), (409, 500), (199, 500)):
        response = post(app.test_client(), str(status), path=f"/status/{status}")
        assert response.status_code == shown
    assert keys() == 2
    errors = [str(event["exc_info"]) for event in logged(caplog, "unexpected_error")]
    assert errors == ["An idempotent view must raise its errors."] * 3


def test_no_transaction_is_open_while_the_body_is_read(app: Flask, client: FlaskClient) -> None:
    body = Watched(app, json.dumps(HONDA_BODY).encode())
    db.session.rollback()
    response = client.post(
        "/v1/makes",
        input_stream=body,
        content_type="application/json",
        content_length=len(body.getvalue()),
        headers={"Idempotency-Key": "k"},
    )
    assert response.status_code == 201
    assert body.in_use == {0}


def test_a_user_with_a_password_is_added_once(client: FlaskClient) -> None:
    """Hashing a password in the transaction of the key would be a 500."""
    user = {"email": "zoe@example.org", "name": "Zoë", "password": "a quite long password"}
    first, again = (post(client, "k", user, "/v1/users") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.get_json() == first.get_json()


def test_requests_differ_in_each_of_their_parts_and_between_secret_keys() -> None:
    def fingerprint(key: str = "k", path: str = "/a", **request: Any) -> str:
        app = Flask(__name__)
        app.secret_key = key
        with app.test_request_context(path, **request):
            return _fingerprint()

    def form(*fields: tuple[str, str]) -> dict[str, Any]:
        files = [("f", (io.BytesIO(b"content"), "name"))]
        data = MultiDict([*fields, *files])
        return {"method": "POST", "data": data}

    two_files = MultiDict([("f", (io.BytesIO(part), "name")) for part in (b"content", b"x")])
    requests: list[dict[str, Any]] = [
        {},
        {"key": "other"},
        {"path": "/b"},
        {"path": "/a?b"},
        {"method": "POST"},
        {"data": b"b"},
        form(("a", "1")),
        form(("a", "1"), ("a", "2")),
        {"method": "POST", "data": two_files},
    ]
    found = [fingerprint(**request) for request in requests]
    assert len(set(found)) == len(requests)
    assert fingerprint(**form(("a", "1"))) == found[6]


def test_forms_are_compared_by_their_fields_and_files(app: Flask) -> None:
    @app.post("/form")
    @idempotent
    def form() -> tuple[bytes, int]:
        return b"".join(file.read() for file in request.files.values()), 201

    def send(key: str, content: bytes, name: str = "file", **fields: str) -> TestResponse:
        data = {name: (io.BytesIO(content), "cars.csv")} | fields
        return app.test_client().post("/form", data=data, headers={"Idempotency-Key": key})

    assert send("k", b"a,b").data == b"a,b"
    assert send("k", b"a,b").headers["Idempotent-Replayed"] == "true"  # with another boundary
    assert_problem(send("k", b"a,c"), 422)
    assert_problem(send("k", b"b,b"), 422)
    assert_problem(send("k", b"a,b", name="other"), 422)
    assert_problem(send("k", b"a,b", keep_good="true"), 422)


def test_keys_have_up_to_255_printable_characters(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for key in ("", "x" * 256, "a\x01b", "\x7f", "\t", "a\xadb"):
        with subtests.test(key):
            problem = assert_problem(post(client, key), 400)
            expected = "Idempotency-Key must have 1 to 255 printable characters."
            assert problem["detail"] == expected
    for number, key in enumerate(("x" * 255, "é", '"quoted"', "a b", ";=,")):
        with subtests.test(key):
            body = {"id": number + 1, "name": f"Make {number}"}
            assert post(client, key, body).status_code == 201
            assert post(client, key, body).headers["Idempotent-Replayed"] == "true"


def test_a_key_expires_after_24_hours(client: FlaskClient) -> None:
    post(client, "k")
    grow_older(timedelta(hours=23, minutes=59))
    assert post(client, "k").headers["Idempotent-Replayed"] == "true"
    grow_older(timedelta(hours=24, minutes=1))
    assert_problem(post(client, "k"), 409)  # executed again, and the make exists
    again = post(client, "k", {"id": 1, "name": "Acura"})
    assert again.status_code == 201
    assert again.get_json()["id"] == 1
    assert post(client, "k", {"id": 1, "name": "Acura"}).headers["Idempotent-Replayed"] == "true"


def test_only_expired_keys_are_deleted(client: FlaskClient) -> None:
    post(client, "old")
    grow_older(timedelta(hours=24, minutes=1))
    post(client, "young", {"id": 1, "name": "Acura"})
    with transaction():
        assert expire_idempotency_keys() == 1
    assert post(client, "young", {"id": 1, "name": "Acura"}).headers["Idempotent-Replayed"]


def test_a_repeated_request_submits_no_second_job(
    client: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    first = post(client, "k", {}, "/v1/vehicle-syncs")
    run_jobs()
    again = post(client, "k", {}, "/v1/vehicle-syncs")
    assert (again.status_code, again.data) == (202, first.data)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Retry-After"] == first.headers["Retry-After"]
    assert db.session.scalar(select(func.count()).select_from(Job)) == 1


def test_a_repeated_request_can_wait_for_its_job(
    client: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    accepted = post(client, "k", {}, "/v1/vehicle-syncs")
    run_jobs()
    headers = {"Idempotency-Key": "k", "Prefer": "wait=10"}
    response = client.post("/v1/vehicle-syncs", json={}, headers=headers)
    assert response.status_code == 200
    assert response.headers["Idempotent-Replayed"] == "true"
    assert response.headers["Preference-Applied"] == "wait=10"
    assert (response.get_json()["id"], response.get_json()["state"]) == (
        accepted.json["id"],
        "succeeded",
    )


def test_concurrent_equal_requests_are_executed_once_and_get_the_same_response(
    client: FlaskClient,
) -> None:
    answers = at_once(*[lambda: post(client, "k")] * 6)
    assert {(answer.status_code, answer.data) for answer in answers} == {(201, answers[0].data)}
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 5


def test_only_one_of_several_concurrent_requests_with_one_key_is_executed(
    client: FlaskClient,
) -> None:
    answers = at_once(
        *(
            lambda number=number: post(client, "k", {"id": number, "name": f"M{number}"})
            for number in range(1, 7)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422, 422, 422]
    assert len(client.get("/v1/makes").get_json()["items"]) == 1
