"""`/v1/models`: what NHTSA lists under our makes, and models of our own."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.catalogue import HONDA, HONDAS, add_make
from tests.support.http import assert_problem, parameters

ACURA = 475


@pytest.fixture(autouse=True)
def catalogue(client: FlaskClient) -> None:
    add_make(models=HONDAS)
    add_make(ACURA, "Acura", {1: "Integra", 2: "CIVIC"})


def ids(client: FlaskClient, path: str, **query: object) -> list[int]:
    response = client.get(path, query_string=query)
    assert response.status_code == 200, response.text
    return [model["id"] for model in response.get_json()["items"]]


def test_a_model_names_its_make(client: FlaskClient) -> None:
    response = client.get("/v1/models/1861")
    assert response.status_code == 200
    assert response.get_json() == {
        "id": 1861,
        "name": "Accord",
        "source": "nhtsa",
        "make": {"id": HONDA, "name": "Honda"},
    }


def test_a_model_that_is_not_there_is_404(client: FlaskClient) -> None:
    assert assert_problem(client.get("/v1/models/7"), 404)["detail"] == "There is no model 7."
    for text in ("0", "-1", "x", str(2**63 - 1), str(2**63)):
        assert_problem(client.get(f"/v1/models/{text}"), 404)


def test_models_are_listed_by_their_ids(client: FlaskClient) -> None:
    assert ids(client, "/v1/models") == [1, 2, 1861, 1863, 1864]


def test_the_models_of_a_make_are_listed(client: FlaskClient) -> None:
    assert ids(client, f"/v1/makes/{HONDA}/models") == [1861, 1863, 1864]
    assert ids(client, "/v1/models", make_id=HONDA) == [1861, 1863, 1864]
    listed = client.get(f"/v1/makes/{ACURA}/models").get_json()["items"][0]
    assert listed == client.get("/v1/models/1").get_json()


def test_a_make_without_models_has_an_empty_list_and_no_make_has_none(client: FlaskClient) -> None:
    add_make(7, "Tiny")
    assert ids(client, "/v1/makes/7/models") == []
    assert_problem(client.get("/v1/makes/8/models"), 404)
    assert ids(client, "/v1/models", make_id=8) == []


def test_models_are_found_by_the_whole_name_in_any_case(client: FlaskClient) -> None:
    assert ids(client, "/v1/models", name="civic") == [2, 1863]
    assert ids(client, "/v1/models", name=" Civic ", make_id=HONDA) == [1863]
    assert ids(client, "/v1/models", name="civ") == []


def test_wrong_filters_are_422(client: FlaskClient) -> None:
    response = client.get("/v1/models?make_id=0&name=%07&brand=Honda")
    assert parameters(response).keys() == {"make_id", "name", "brand"}
    for text in ("-1", "Honda", str(2**63)):
        response = client.get("/v1/models", query_string={"make_id": text})
        assert parameters(response).keys() == {"make_id"}
    # The make stands in the path.
    response = client.get(f"/v1/makes/{HONDA}/models?make_id={HONDA}")
    assert parameters(response).keys() == {"make_id"}


def test_models_are_not_written_under_their_make(client: FlaskClient) -> None:
    new = {"name": "Jazz", "make_id": HONDA}
    assert_problem(client.post(f"/v1/makes/{HONDA}/models", json=new), 405)
    response = client.put("/v1/models/1861", json={"name": "Jazz"})
    assert_problem(response, 405)
    assert set(response.allow) == {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}
