"""An administrator looks after manufacturers."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.inventory import ids, pointers
from tests.support.purchases import (
    HONDA,
    TOYOTA,
    client_of,
    ensure_catalogue,
    make_manufacturer,
)


@pytest.fixture
def client(as_admin: FlaskClient) -> FlaskClient:
    return as_admin


def test_a_manufacturer_lives(client: FlaskClient) -> None:
    ensure_catalogue()
    body = {"name": "Honda Motor", "make_ids": [HONDA]}
    created = client.post("/v1/manufacturers", json=body)
    assert created.status_code == 201
    manufacturer = created.get_json()
    assert manufacturer == {"id": manufacturer["id"], **body}
    path = created.headers["Location"]
    assert client.get(path).get_json() == manufacturer
    changed = client.patch(path, json={"make_ids": [TOYOTA, HONDA, TOYOTA]})
    assert changed.get_json() == manufacturer | {"make_ids": [TOYOTA, HONDA]}
    changed = client.patch(path, json={"name": "Both"})
    assert changed.get_json() == manufacturer | {"name": "Both", "make_ids": [TOYOTA, HONDA]}
    assert client.patch(path, json={"make_ids": []}).get_json()["make_ids"] == []
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_makes_that_we_do_not_have_are_refused(client: FlaskClient) -> None:
    ensure_catalogue()
    body = {"name": "Honda Motor", "make_ids": [HONDA, 4711]}
    assert pointers(client.post("/v1/manufacturers", json=body)) == {"#/make_ids/1"}
    manufacturer = make_manufacturer(HONDA)
    path = f"/v1/manufacturers/{manufacturer.id}"
    assert pointers(client.patch(path, json={"make_ids": [4711], "name": "X"})) == {"#/make_ids/0"}
    assert client.get(path).get_json()["name"] == manufacturer.name


def test_a_make_of_a_manufacturer_is_not_deleted(client: FlaskClient) -> None:
    manufacturer = make_manufacturer(HONDA)
    assert client.delete(f"/v1/makes/{HONDA}").status_code == 409
    assert client.delete(f"/v1/manufacturers/{manufacturer.id}").status_code == 204
    assert client.delete(f"/v1/makes/{HONDA}").status_code == 204


def test_a_manufacturer_has_clients_that_go_with_it(client: FlaskClient) -> None:
    of_other = client_of(make_manufacturer())
    manufacturer = make_manufacturer(HONDA)
    path = f"/v1/manufacturers/{manufacturer.id}"
    machine = client.post(f"{path}/clients", json={"name": "Line 1"}).get_json()
    assert machine["scopes"] == ["manufacturer"]
    assert machine["client_secret"]
    its_path = f"/v1/clients/{machine['client_id']}"
    assert client.patch(its_path, json={"scopes": ["catalogue"]}).status_code == 409
    assert client.delete(path).status_code == 204
    assert client.get(its_path).status_code == 404
    assert client.get(f"/v1/clients/{of_other.id}").status_code == 200


def test_manufacturers_are_listed_without_a_query_each(
    client: FlaskClient, count_queries: object
) -> None:
    for _ in range(3):
        make_manufacturer(HONDA, TOYOTA)
    assert len(ids(client.get("/v1/manufacturers"))) == 3
    with count_queries() as few:  # type: ignore[operator]
        client.get("/v1/manufacturers?limit=1")
    with count_queries() as many:  # type: ignore[operator]
        client.get("/v1/manufacturers")
    assert many.count == few.count
