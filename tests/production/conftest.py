"""Fixtures that create locations, sprocket types, factories and sprockets, and read charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

Make = Callable[..., dict[str, Any]]

LOCATION = {
    "name": "North Works",
    "address_1": "12 Mill Lane",
    "city": "Sheffield",
    "postal_code": "S1 2AB",
    "country_code": "GB",
}
TYPE = {
    "name": "40B-24",
    "teeth": 24,
    "pitch_diameter": 97.3,
    "pitch": 12.7,
    "outside_diameter": 104.1,
}


@pytest.fixture
def make(as_user: FlaskClient) -> Make:
    """Create a resource by a POST that must succeed: `make("locations", name="X")`.

    Missing fields get usual values, and missing references get new resources.
    """

    def post(path: str, **values: Any) -> dict[str, Any]:
        if path == "locations":
            values = LOCATION | values
        elif path == "sprocket-types":
            values = TYPE | values
        elif path == "factories":
            values = {"name": "Line 1", "sprocket_production_goal": 10} | values
            values.setdefault("location_id", values.get("location_id") or post("locations")["id"])
        elif path == "sprockets":
            values = {"name": "A sprocket"} | values
            if "factory_id" not in values:
                values["factory_id"] = post("factories")["id"]
            if "sprocket_type_id" not in values:
                values["sprocket_type_id"] = post("sprocket-types")["id"]
        response = as_user.post(f"/v1/{path}", json=values)
        assert response.status_code == 201, response.get_json()
        made: dict[str, Any] = response.get_json()
        assert response.headers["Location"] == f"http://localhost/v1/{path}/{made['id']}"
        return made

    return post


@pytest.fixture
def chart_of(as_user: FlaskClient) -> Callable[[int], list[tuple[int, int]]]:
    """Return the points of a factory's chart as (actual, goal)."""

    def read(factory_id: int) -> list[tuple[int, int]]:
        data = as_user.get(f"/v1/factories/{factory_id}/chart").get_json()
        assert data["time"] == sorted(data["time"])
        return list(
            zip(data["sprocket_production_actual"], data["sprocket_production_goal"], strict=True)
        )

    return read
