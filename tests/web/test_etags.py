"""ETag, If-None-Match and If-Match."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from automart.core.db import db, transaction
from automart.customers.models import TOKEN_LENGTH, Customer
from tests.support.catalogue import HONDA, HONDAS, add_make
from tests.support.http import assert_problem, at_once

PATH = f"/v1/makes/{HONDA}"


@pytest.fixture
def etag(client: FlaskClient) -> str:
    """Return the ETag of a make."""
    add_make()
    return client.get(PATH).headers["ETag"]


def rename(client: FlaskClient, name: str, if_match: str) -> TestResponse:
    return client.patch(PATH, json={"name": name}, headers={"If-Match": if_match})


def test_the_etag_is_strong_and_stable(client: FlaskClient, etag: str) -> None:
    assert etag.startswith('"')
    assert client.get(PATH).headers["ETag"] == etag
    assert client.patch(PATH, json={}).headers["ETag"] == etag
    assert client.get(f"/api{PATH}").headers["ETag"] == etag


def test_the_etag_changes_and_returns_with_the_resource(client: FlaskClient, etag: str) -> None:
    renamed = client.patch(PATH, json={"name": "HONDA"})
    assert renamed.headers["ETag"] != etag
    assert client.get(PATH).headers["ETag"] == renamed.headers["ETag"]
    assert client.patch(PATH, json={"name": "Honda"}).headers["ETag"] == etag


def test_a_post_has_the_same_etag_as_a_get(client: FlaskClient) -> None:
    created = client.post("/v1/makes", json={"id": HONDA, "name": " Honda "})
    assert client.get(PATH).headers["ETag"] == created.headers["ETag"]
    assert rename(client, "Acura", created.headers["ETag"]).status_code == 200


def test_resources_that_differ_only_in_their_id_have_different_etags(
    client: FlaskClient, etag: str
) -> None:
    client.delete(PATH)
    add_make(475, "Honda")
    assert client.get("/v1/makes/475").headers["ETag"] != etag


def test_a_get_of_a_known_version_is_304_without_a_body(
    client: FlaskClient, etag: str, subtests: pytest.Subtests
) -> None:
    for asked in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        for method in ("GET", "HEAD"):
            with subtests.test(asked=asked, method=method):
                response = client.open(PATH, method=method, headers={"If-None-Match": asked})
                assert response.status_code == 304
                assert response.data == b""
                assert response.headers["ETag"] == etag


def test_a_get_with_another_version_returns_this_one(client: FlaskClient, etag: str) -> None:
    for asked in ('"other"', "", "nonsense", etag.strip('"') + "x"):
        response = client.get(PATH, headers={"If-None-Match": asked})
        assert response.status_code == 200
        assert response.get_json()["id"] == HONDA


def test_a_models_version_changes_when_its_make_is_renamed(client: FlaskClient) -> None:
    add_make(models=HONDAS)
    before = client.get("/v1/models/1861").headers["ETag"]
    client.patch(PATH, json={"name": "Honda Motor"})
    response = client.get("/v1/models/1861", headers={"If-None-Match": before})
    assert response.get_json()["make"] == {"id": HONDA, "name": "Honda Motor"}


def test_a_list_and_the_document_have_etags(client: FlaskClient, etag: str) -> None:
    for path in ("/v1/makes", "/openapi.json"):
        seen = client.get(path).headers["ETag"]
        assert client.get(path, headers={"If-None-Match": seen}).status_code == 304


def test_neither_problems_nor_other_media_types_have_etags(client: FlaskClient) -> None:
    for path, status in (("/v1/makes/1", 404), ("/metrics", 200)):
        response = client.get(path)
        assert (response.status_code, response.headers.get("ETag")) == (status, None)


def test_an_update_of_the_current_version_succeeds(client: FlaskClient, etag: str) -> None:
    assert rename(client, "Acura", f'"other", {etag}').status_code == 200
    assert client.get(PATH).get_json()["name"] == "Acura"
    weak = f"W/{client.get(PATH).headers['ETag']}"  # as proxies that compress make it
    assert rename(client, "Honda", weak).status_code == 200


def test_an_update_of_any_version_succeeds(client: FlaskClient, etag: str) -> None:
    assert rename(client, "Acura", "*").status_code == 200
    assert client.delete(PATH, headers={"If-Match": "*"}).status_code == 204


def test_if_match_is_optional(client: FlaskClient, etag: str) -> None:
    assert client.patch(PATH, json={"name": "Acura"}).status_code == 200
    assert client.delete(PATH).status_code == 204


def test_an_update_of_another_version_is_412_and_changes_nothing(
    client: FlaskClient, etag: str, subtests: pytest.Subtests
) -> None:
    for asked in ('"other"', 'W/"other"', '""', f'"{etag[1:-2]}", "x"'):
        with subtests.test(asked):
            problem = assert_problem(rename(client, "Acura", asked), 412)
            assert problem["detail"] == "It has changed since you read it. Read it again."
            assert_problem(client.delete(PATH, headers={"If-Match": asked}), 412)
    assert client.get(PATH).headers["ETag"] == etag


def test_a_malformed_if_match_is_400(
    client: FlaskClient, etag: str, subtests: pytest.Subtests
) -> None:
    bare = etag.strip('"')
    for asked in ("", bare, f'"{bare}', f"{etag} {etag}", f"*, {etag}", ",", "w/" + etag, '"a b"'):
        with subtests.test(asked):
            problem = assert_problem(rename(client, "Acura", asked), 400)
            expected = 'If-Match must be * or a list of quoted ETags: "…", "…".'
            assert problem["detail"] == expected
            assert_problem(client.delete(PATH, headers={"If-Match": asked}), 400)
    assert client.get(PATH).headers["ETag"] == etag


def test_a_long_list_of_etags_is_parsed_in_linear_time(client: FlaskClient, etag: str) -> None:
    assert_problem(rename(client, "Acura", '"a"' + " ," * 30_000 + " x"), 400)
    assert rename(client, "Acura", '"a", ' * 10_000 + etag).status_code == 200


def test_a_missing_resource_is_404_with_any_if_match(client: FlaskClient) -> None:
    assert_problem(client.delete("/v1/makes/1", headers={"If-Match": "*"}), 404)


def test_exactly_one_of_many_updates_with_the_same_if_match_succeeds(
    client: FlaskClient, etag: str
) -> None:
    names = [f"Honda {i}" for i in range(6)]
    answers = at_once(*(lambda name=name: rename(client, name, etag) for name in names))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412, 412]
    won = next(answer for answer in answers if answer.status_code == 200)
    assert client.get(PATH).get_json() == won.json


def test_either_an_update_or_a_deletion_with_the_same_if_match_succeeds(
    client: FlaskClient, etag: str
) -> None:
    changed, deleted = at_once(
        lambda: rename(client, "Acura", etag),
        lambda: client.delete(PATH, headers={"If-Match": etag}),
    )
    assert (changed.status_code, deleted.status_code) in ((200, 412), (404, 204))


def test_the_etag_does_not_depend_on_the_url_of_the_request(
    as_user: FlaskClient, subtests: pytest.Subtests
) -> None:
    with transaction():
        customer = Customer(first_name="Ann", last_name="Lee", photo_token="0" * TOKEN_LENGTH)
        db.session.add(customer)
    path = f"/v1/customers/{customer.id}"
    etag = as_user.get(path).headers["ETag"]
    for other, host in ((f"/api{path}", "localhost"), (path, "127.0.0.1")):
        with subtests.test(other, host=host):
            shown = as_user.get(other, headers={"Host": host})
            assert shown.headers["ETag"] == etag
            changes = {"first_name": "Ann"}
            headers = {"Host": host, "If-Match": etag}
            assert as_user.patch(other, json=changes, headers=headers).status_code == 200
