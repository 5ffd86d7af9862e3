"""The sample dealer and cars."""

from __future__ import annotations

from flask.testing import FlaskClient

from automart.core.db import transaction
from automart.inventory.fields import CarVin
from automart.inventory.seed import CARS, add_sample_dealer
from tests.support.inventory import add_catalogue, ids


def test_samples_are_a_dealer_and_cars_of_the_makes_in_the_catalogue(as_user: FlaskClient) -> None:
    add_catalogue()
    with transaction():
        assert add_sample_dealer() is not None
    dealer = {"id": 1, "name": "Oscar Mobility Main", "location": "Munich"}
    assert as_user.get("/v1/dealers").get_json()["items"] == [dealer]
    cars = as_user.get("/v1/cars?dealer_id=1").get_json()["items"]
    assert [(car["brand"], car["model"]) for car in cars] == [
        ("Honda", "Accord"),
        ("Honda", "Civic"),
        ("Honda", "Pilot"),
        ("Toyota", "Corolla"),
    ]
    with transaction():
        assert add_sample_dealer() is None
    assert ids(as_user.get("/v1/dealers")) == [1]


def test_the_vins_of_samples_are_valid() -> None:
    for *_, vin in CARS:
        assert CarVin().deserialize(vin) == vin
