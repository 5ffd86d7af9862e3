"""ETag, If-None-Match and If-Match: who changes a thing can know that nobody else did."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.catalogue import HONDA, HONDAS, add_make
from tests.support.http import assert_problem, at_once

PATH = f"/v1/makes/{HONDA}"


@pytest.fixture
def etag(client: FlaskClient) -> str:
    """That of a make which is there."""
    add_make()
    return client.get(PATH).headers["ETag"]


def rename(client: FlaskClient, name: str, if_match: str) -> TestResponse:
    return client.patch(PATH, json={"name": name}, headers={"If-Match": if_match})


def test_the_etag_is_strong_and_stays_while_nothing_changes(client: FlaskClient, etag: str) -> None:
    assert etag.startswith('"')
    assert client.get(PATH).headers["ETag"] == etag
    assert client.patch(PATH, json={}).headers["ETag"] == etag
    assert client.get(f"/api{PATH}").headers["ETag"] == etag


def test_the_etag_changes_with_the_thing_and_comes_back_with_it(
    client: FlaskClient, etag: str
) -> None:
    renamed = client.patch(PATH, json={"name": "HONDA"})
    assert renamed.headers["ETag"] != etag
    assert client.get(PATH).headers["ETag"] == renamed.headers["ETag"]
    assert client.patch(PATH, json={"name": "Honda"}).headers["ETag"] == etag


def test_the_answer_to_a_post_has_the_etag_of_what_a_get_answers(client: FlaskClient) -> None:
    created = client.post("/v1/makes", json={"id": HONDA, "name": " Honda "})
    assert client.get(PATH).headers["ETag"] == created.headers["ETag"]
    assert rename(client, "Acura", created.headers["ETag"]).status_code == 200


def test_two_things_of_which_only_the_id_differs_have_different_etags(
    client: FlaskClient, etag: str
) -> None:
    client.delete(PATH)
    add_make(475, "Honda")
    assert client.get("/v1/makes/475").headers["ETag"] != etag


def test_one_who_has_this_version_gets_304_without_a_body(
    client: FlaskClient, etag: str, subtests: pytest.Subtests
) -> None:
    for asked in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        for method in ("GET", "HEAD"):
            with subtests.test(asked=asked, method=method):
                response = client.open(PATH, method=method, headers={"If-None-Match": asked})
                assert response.status_code == 304
                assert response.data == b""
                assert response.headers["ETag"] == etag


def test_one_who_has_another_version_gets_this_one(client: FlaskClient, etag: str) -> None:
    for asked in ('"other"', "", "nonsense", etag.strip('"') + "x"):
        response = client.get(PATH, headers={"If-None-Match": asked})
        assert response.status_code == 200
        assert response.json["id"] == HONDA


def test_a_models_version_changes_when_its_make_is_renamed(client: FlaskClient) -> None:
    add_make(models=HONDAS)
    before = client.get("/v1/models/1861").headers["ETag"]
    client.patch(PATH, json={"name": "Honda Motor"})
    response = client.get("/v1/models/1861", headers={"If-None-Match": before})
    assert response.json["make"] == {"id": HONDA, "name": "Honda Motor"}


def test_a_list_and_the_document_can_be_asked_for_only_if_they_changed(
    client: FlaskClient, etag: str
) -> None:
    for path in ("/v1/makes", "/openapi.json"):
        seen = client.get(path).headers["ETag"]
        assert client.get(path, headers={"If-None-Match": seen}).status_code == 304


def test_a_problem_has_no_etag(client: FlaskClient) -> None:
    assert "ETag" not in client.get("/v1/makes/1").headers


def test_a_change_under_the_version_that_was_read_is_made(client: FlaskClient, etag: str) -> None:
    assert rename(client, "Acura", f'"other", {etag}').status_code == 200
    assert client.get(PATH).json["name"] == "Acura"


def test_a_change_under_any_version_is_made(client: FlaskClient, etag: str) -> None:
    assert rename(client, "Acura", "*").status_code == 200
    assert client.delete(PATH, headers={"If-Match": "*"}).status_code == 204


def test_no_if_match_is_needed(client: FlaskClient, etag: str) -> None:
    assert client.patch(PATH, json={"name": "Acura"}).status_code == 200
    assert client.delete(PATH).status_code == 204


def test_a_change_under_another_version_is_412_and_changes_nothing(
    client: FlaskClient, etag: str, subtests: pytest.Subtests
) -> None:
    for asked in ('"other"', f"W/{etag}", '""', f'"{etag[1:-2]}", "x"'):
        with subtests.test(asked):
            assert_problem(rename(client, "Acura", asked), 412)
            assert_problem(client.delete(PATH, headers={"If-Match": asked}), 412)
    assert client.get(PATH).headers["ETag"] == etag


def test_an_if_match_that_is_no_list_of_etags_is_400(
    client: FlaskClient, etag: str, subtests: pytest.Subtests
) -> None:
    bare = etag.strip('"')
    for asked in ("", bare, f'"{bare}', f"{etag} {etag}", f"*, {etag}", ",", "w/" + etag, '"a b"'):
        with subtests.test(asked):
            assert_problem(rename(client, "Acura", asked), 400)
            assert_problem(client.delete(PATH, headers={"If-Match": asked}), 400)
    assert client.get(PATH).headers["ETag"] == etag


def test_a_long_list_of_etags_is_read_in_no_time(client: FlaskClient, etag: str) -> None:
    assert_problem(rename(client, "Acura", '"a"' + " ," * 30_000 + " x"), 400)
    assert rename(client, "Acura", '"a", ' * 10_000 + etag).status_code == 200


def test_what_is_not_there_is_404_whatever_is_matched(client: FlaskClient) -> None:
    assert_problem(client.delete("/v1/makes/1", headers={"If-Match": "*"}), 404)


def test_of_many_writers_with_the_same_if_match_exactly_one_wins(
    client: FlaskClient, etag: str
) -> None:
    names = [f"Honda {i}" for i in range(6)]
    answers = at_once(*(lambda name=name: rename(client, name, etag) for name in names))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412, 412]
    won = next(answer for answer in answers if answer.status_code == 200)
    assert client.get(PATH).json == won.json


def test_of_a_writer_and_a_deleter_with_the_same_if_match_exactly_one_wins(
    client: FlaskClient, etag: str
) -> None:
    changed, deleted = at_once(
        lambda: rename(client, "Acura", etag),
        lambda: client.delete(PATH, headers={"If-Match": etag}),
    )
    assert (changed.status_code, deleted.status_code) in ((200, 412), (404, 204))
