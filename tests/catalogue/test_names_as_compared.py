"""Names of makes and models are compared in any case, with any apostrophe and number of spaces."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import flask_migrate
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, update

from automart.catalogue import make_import
from automart.catalogue.models import VehicleMake, VehicleModel
from automart.core.db import db, transaction
from automart.core.text import APOSTROPHES, name_key
from automart.inventory.models import Car
from automart.partners.models import Manufacturer, RegionalOffice
from tests.support.catalogue import add_make
from tests.support.databases import on_sqlite
from tests.support.inventory import car_body, ids, make_car, make_dealer
from tests.support.purchases import make_manufacturer, make_office, sale

MAKE, MODEL = "Cap\u2019n  Joe", "Sea\u02bcs Edge  II"
MAKE_ID, MODEL_ID = 77, 7701
SPELLINGS = {
    "Cap'n Joe": "Sea's Edge II",
    " CAP`N   joe ": "SEA\u00b4S\u00a0EDGE II",
    "cap\uff07N\u2003Joe": "sea\u2032s  edge\u2009ii",
    MAKE: MODEL,
}
OTHERS = ("Capn Joe", "Cap'nJoe", 'Cap"n Joe', "C\u00e1p'n Joe")


def add_names() -> None:
    add_make(MAKE_ID, MAKE, {MODEL_ID: MODEL})


@given(st.text(st.sampled_from(" \u00a0\t-\u2011aÅß\u017f\u0301\u1fef\u0149" + APOSTROPHES)))
def test_a_key_is_its_own_key_in_every_normalization_form(name: str) -> None:
    key = name_key(name)
    assert name_key(key) == key
    for form in ("NFC", "NFD"):
        assert name_key(unicodedata.normalize(form, name)) == key


@on_sqlite
def test_names_are_found_and_not_added_twice(client: FlaskClient) -> None:
    add_names()
    for make, model in SPELLINGS.items():
        assert ids(client.get("/v1/makes", query_string={"name": make})) == [MAKE_ID]
        assert ids(client.get("/v1/models", query_string={"name": model})) == [MODEL_ID]
        for body in ({"name": make}, {"id": 78, "name": make}):
            assert client.post("/v1/makes", json=body).status_code == 409
        body = {"make_id": MAKE_ID, "name": model}
        assert client.post("/v1/models", json=body).status_code == 409
        with transaction():
            assert make_import.add_missing({78: make}).refused.keys() == {"78"}
    for number, make in enumerate(OTHERS, 79):
        assert ids(client.get("/v1/makes", query_string={"name": make})) == []
        assert client.post("/v1/makes", json={"id": number, "name": make}).status_code == 201


@on_sqlite
def test_cars_have_the_spelling_of_the_catalogue(as_user: FlaskClient) -> None:
    add_names()
    dealer_id = make_dealer().id
    for make, model in SPELLINGS.items():
        body = car_body(dealer_id, brand=make, model=model)
        car = as_user.post("/v1/cars", json=body).get_json()
        assert (car["brand"], car["model"]) == (MAKE, MODEL)
        changed = as_user.patch(f"/v1/cars/{car['id']}", json={"brand": make, "model": model})
        assert changed.get_json() == car
        wanted = {"brand": make, "model": model}
        assert car["id"] in ids(as_user.get("/v1/cars", query_string=wanted))
        wanted |= {
            "start_datetime": "2090-01-01T00:00:00Z",
            "end_datetime": "2090-01-02T00:00:00Z",
        }
        assert car["id"] in ids(as_user.get("/v1/bookings/available-cars", query_string=wanted))


@on_sqlite
def test_a_car_keeps_a_model_that_has_left_the_catalogue(as_user: FlaskClient) -> None:
    add_names()
    car = make_car(make_id=MAKE_ID, model="Old\u2019s  One")
    changed = as_user.patch(f"/v1/cars/{car.id}", json={"model": "old's one"})
    assert changed.get_json()["model"] == "Old\u2019s  One"


@on_sqlite
def test_purchases_have_the_spelling_of_the_catalogue(
    as_user: FlaskClient,
    as_office: Callable[[RegionalOffice], FlaskClient],
    as_manufacturer: Callable[[Manufacturer], FlaskClient],
    run_jobs: Callable[[], None],
) -> None:
    add_names()
    office = as_office(make_office())
    for make, model in SPELLINGS.items():  # of one order, which is reported again
        body = sale("A-1", brand=make, car_model=model)
        assert office.post("/v1/sales-webhook", json=body).status_code == 202
        run_jobs()
        (purchase,) = as_user.get("/v1/purchases", query_string={"brand": make}).get_json()["items"]
        assert (purchase["brand"], purchase["car_model"]) == (MAKE, MODEL)
    maker = as_manufacturer(make_manufacturer(MAKE_ID))
    for make in SPELLINGS:
        path = f"/v1/get-all-vehicles-for-manufacturing/{make}"
        assert ids(maker.get(path)) == [purchase["id"]]


class TestMigration:
    """Migration 0016 renews the keys that the previous release stored."""

    @pytest.fixture(autouse=True)
    def old_names(self, app: Flask) -> None:
        flask_migrate.downgrade(revision="0015")
        with transaction():
            for ident, make in {1: "Cap\u2019n Joe", 2: "Cap`n  Joe", 3: "cap\u02b9n joe"}.items():
                values = {"id": ident, "name": make, "name_folded": make.casefold()}
                db.session.execute(insert(VehicleMake).values(values))
        for number in range(3):
            add_make(10 + number, f"Make {number}", {100 + number: f"Sea\u2019s  Edge {number}"})
        make_car(make_id=2, model="Sea\u2019s  Edge")
        with transaction():
            db.session.execute(update(VehicleModel).values(name_folded=VehicleModel.name))
            db.session.execute(update(Car).values(model_folded="sea\u2019s  edge"))

    def test_old_names_are_found_as_new_ones(self, as_admin: FlaskClient) -> None:
        flask_migrate.upgrade()
        query = {"name": "sea's edge 1"}
        assert ids(as_admin.get("/v1/models", query_string=query)) == [101]
        query = {"model": "SEA'S EDGE"}
        assert len(ids(as_admin.get("/v1/cars", query_string=query))) == 1

    def test_makes_with_one_key_are_kept_and_found_after_renaming(
        self, as_admin: FlaskClient
    ) -> None:
        flask_migrate.upgrade()
        query = {"name": "cap'n joe"}
        assert ids(as_admin.get("/v1/makes", query_string=query)) == [1]
        for ident, name in ((2, "Cap`n  Joe"), (3, "cap\u02b9n joe")):
            assert as_admin.get(f"/v1/makes/{ident}").get_json()["name"] == name
        (car,) = as_admin.get("/v1/cars").get_json()["items"]
        path = f"/v1/cars/{car['id']}"
        assert as_admin.patch(path, json={"color": "blue", "brand": "cap'n joe"}).get_json() == {
            **car,
            "color": "blue",
            "updated_at": as_admin.get(path).get_json()["updated_at"],
        }
        assert as_admin.patch("/v1/makes/2", json={"name": "Cap'n Joe"}).status_code == 409
        assert as_admin.patch("/v1/makes/2", json={"name": "Cap'n Jim"}).status_code == 200
        query = {"name": "cap\u2019n jim"}
        assert ids(as_admin.get("/v1/makes", query_string=query)) == [2]
        # Nothing is left to do for the next migration.
        flask_migrate.downgrade(revision="0015")
        flask_migrate.upgrade()
        assert ids(as_admin.get("/v1/makes", query_string=query)) == [2]
