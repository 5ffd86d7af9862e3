from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.production.conftest import LOCATION, Make
from tests.support.databases import on_sqlite


def test_a_location_is_created_read_updated_and_deleted(as_user: FlaskClient, make: Make) -> None:
    made = make("locations", state=None)
    url = f"/v1/locations/{made['id']}"
    assert made == {"id": made["id"], "address_2": None, "state": None, **LOCATION}
    assert as_user.get(url).get_json() == made
    changed = as_user.patch(url, json={"address_2": "Unit 4", "state": "Yorks"})
    assert changed.get_json() == made | {"address_2": "Unit 4", "state": "Yorks"}
    assert as_user.patch(url, json={"address_2": None}).get_json()["address_2"] is None
    assert as_user.patch(url, json={}).get_json() == as_user.get(url).get_json()
    assert as_user.delete(url).status_code == 204
    assert as_user.get(url).status_code == 404
    assert as_user.get("/v1/locations").get_json() == {"items": [], "next_cursor": None}


@on_sqlite
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None),
        ("name", "  "),
        ("name", 7),
        ("address_1", None),
        ("city", "a\x00b"),
        ("postal_code", None),
        ("postal_code", "1" * 21),
        ("country_code", None),
        ("country_code", "XX"),
        ("country_code", "XK"),
        ("country_code", "gb"),
        ("country_code", "GBR"),
        ("id", 7),
        ("surprise", "x"),
    ],
)
def test_a_wrong_value_is_refused_and_the_list_still_works(
    as_user: FlaskClient, make: Make, name: str, value: Any
) -> None:
    made = make("locations")
    refused = [
        as_user.patch(f"/v1/locations/{made['id']}", json={name: value}),
        as_user.post("/v1/locations", json=LOCATION | {name: value}),
    ]
    for response in refused:
        assert response.status_code == 422
        assert response.get_json()["errors"][0]["pointer"] == f"#/{name}"
    assert as_user.get("/v1/locations").get_json()["items"] == [made]


def test_postal_codes_are_not_unique_and_match_in_any_case(
    as_user: FlaskClient, make: Make
) -> None:
    first = make("locations", postal_code="S1 2AB")
    second = make("locations", postal_code="s1 2ab")
    make("locations", postal_code="S1 2ABC")
    found = as_user.get("/v1/locations?postal_code=S1 2aB").get_json()["items"]
    assert found == [first, second]
    page = as_user.get("/v1/locations?postal_code=S1 2aB&limit=1")
    assert page.get_json()["items"] == [first]
    following = as_user.get(
        "/v1/locations",
        query_string={"postal_code": "S1 2aB", "cursor": page.get_json()["next_cursor"]},
    )
    assert following.get_json() == {"items": [second], "next_cursor": None}


def test_an_updated_postal_code_is_found_by_its_new_value(as_user: FlaskClient, make: Make) -> None:
    made = make("locations", postal_code="S1")
    as_user.patch(f"/v1/locations/{made['id']}", json={"postal_code": "LS2"})
    assert as_user.get("/v1/locations?postal_code=s1").get_json()["items"] == []
    assert len(as_user.get("/v1/locations?postal_code=ls2").get_json()["items"]) == 1


@on_sqlite
@pytest.mark.parametrize("query", ["postal_code=%00", "zip=1", "limit=0"])
def test_a_wrong_query_is_refused(as_user: FlaskClient, query: str) -> None:
    assert as_user.get(f"/v1/locations?{query}").status_code == 422


def test_a_location_with_factories_is_not_deleted(as_user: FlaskClient, make: Make) -> None:
    location = make("locations")
    factory = make("factories", location_id=location["id"])
    response = as_user.delete(f"/v1/locations/{location['id']}")
    assert response.status_code == 409
    assert response.get_json()["detail"] == f"Location {location['id']} still has factories."
    assert as_user.get("/v1/locations").get_json()["items"] == [location]
    assert as_user.get("/v1/factories").get_json()["items"] == [factory]
    assert as_user.delete(f"/v1/factories/{factory['id']}").status_code == 204
    assert as_user.delete(f"/v1/locations/{location['id']}").status_code == 204


def test_ids_are_not_reused(as_user: FlaskClient, make: Make) -> None:
    first = make("locations")["id"]
    as_user.delete(f"/v1/locations/{first}")
    assert make("locations")["id"] > first


def test_only_one_of_two_writers_with_the_same_version_succeeds(
    as_user: FlaskClient, make: Make
) -> None:
    url = f"/v1/locations/{make('locations')['id']}"
    version = {"If-Match": as_user.get(url).headers["ETag"]}
    assert as_user.patch(url, json={"city": "Leeds"}, headers=version).status_code == 200
    assert as_user.patch(url, json={"city": "York"}, headers=version).status_code == 412
    assert as_user.delete(url, headers=version).status_code == 412
    assert as_user.get(url).get_json()["city"] == "Leeds"


def test_a_repeated_idempotency_key_creates_one_location(as_user: FlaskClient) -> None:
    key = {"Idempotency-Key": "once"}
    first = as_user.post("/v1/locations", json=LOCATION, headers=key)
    second = as_user.post("/v1/locations", json=LOCATION, headers=key)
    assert second.get_json() == first.get_json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(as_user.get("/v1/locations").get_json()["items"]) == 1
