from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from automart.core.db import db
from tests.production.conftest import TYPE, Make
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem


def test_a_sprocket_type_is_created_read_updated_and_deleted(
    as_user: FlaskClient, make: Make
) -> None:
    made = make("sprocket-types")
    url = f"/v1/sprocket-types/{made['id']}"
    assert made == {"id": made["id"], **TYPE}
    assert as_user.get(url).get_json() == made
    changed = as_user.patch(url, json={"teeth": 25, "pitch": 13}).get_json()
    assert changed == made | {"teeth": 25, "pitch": 13}
    assert as_user.get("/v1/sprocket-types").get_json()["items"] == [changed]
    assert as_user.delete(url).status_code == 204
    assert as_user.get(url).status_code == 404


@on_sqlite
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None),
        ("teeth", None),
        ("teeth", 0),
        ("teeth", -1),
        ("teeth", 2.5),
        ("teeth", "24"),
        ("teeth", True),
        ("teeth", 10**30),
        ("pitch", 0),
        ("pitch", -1.5),
        ("pitch", "12.7"),
        ("pitch", True),
        ("pitch", None),
        ("pitch", 10**400),
        ("pitch_diameter", 0),
        ("outside_diameter", 1e300),
    ],
)
def test_a_wrong_value_is_refused_and_the_list_still_works(
    as_user: FlaskClient, make: Make, name: str, value: Any
) -> None:
    made = make("sprocket-types")
    refused = [
        as_user.patch(f"/v1/sprocket-types/{made['id']}", json={name: value}),
        as_user.post("/v1/sprocket-types", json=TYPE | {name: value}),
    ]
    for response in refused:
        assert response.status_code == 422
        assert response.get_json()["errors"][0]["pointer"] == f"#/{name}"
    assert as_user.get("/v1/sprocket-types").get_json()["items"] == [made]


@on_sqlite
@pytest.mark.parametrize("number", ["1e400", "-1e400"])
def test_an_infinite_number_is_refused(as_user: FlaskClient, number: str) -> None:
    body = '{"name": "X", "teeth": 1, "pitch_diameter": 1, "pitch": 1, "outside_diameter": %s}'
    response = as_user.post(
        "/v1/sprocket-types", data=body % number, content_type="application/json"
    )
    assert response.status_code == 422


class TestDiameters:
    def test_both_diameters_may_be_equal(self, as_user: FlaskClient, make: Make) -> None:
        make("sprocket-types", pitch_diameter=5, outside_diameter=5)

    def test_a_new_type_with_too_small_an_outside_diameter_is_refused(
        self, as_user: FlaskClient
    ) -> None:
        response = as_user.post("/v1/sprocket-types", json=TYPE | {"outside_diameter": 97.2})
        detail = "The outside diameter must be at least the pitch diameter."
        errors = assert_problem(response, 422)["errors"]
        assert errors == [{"pointer": "#/outside_diameter", "detail": detail}]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"outside_diameter": 97}, "outside_diameter"),
            ({"pitch_diameter": 105}, "pitch_diameter"),
            ({"pitch_diameter": 300, "outside_diameter": 200}, "outside_diameter"),
        ],
    )
    def test_an_update_of_one_diameter_is_checked_against_the_other(
        self, as_user: FlaskClient, make: Make, changes: dict[str, Any], field: str
    ) -> None:
        made = make("sprocket-types")
        url = f"/v1/sprocket-types/{made['id']}"
        response = as_user.patch(url, json=changes)
        assert response.status_code == 422
        assert response.get_json()["errors"][0]["pointer"] == f"#/{field}"
        assert as_user.get(url).get_json() == made
        both = {"pitch_diameter": 200, "outside_diameter": 300}
        assert as_user.patch(url, json=both).get_json() == made | both

    def test_the_database_checks_the_diameters_as_well(self, app: Flask, make: Make) -> None:
        make("sprocket-types")
        with pytest.raises(IntegrityError, match="ck_sprocket_type_outside_diameter"):
            db.session.execute(text("UPDATE sprocket_type SET outside_diameter = 1"))
        db.session.rollback()


def test_a_type_with_sprockets_is_not_deleted(as_user: FlaskClient, make: Make) -> None:
    sprocket = make("sprockets")
    url = f"/v1/sprocket-types/{sprocket['sprocket_type_id']}"
    problem = assert_problem(as_user.delete(url), 409)
    assert problem["detail"] == f"Sprocket type {url.rpartition('/')[2]} still has sprockets."
    assert len(as_user.get("/v1/sprocket-types").get_json()["items"]) == 1
    assert as_user.get("/v1/sprockets").get_json()["items"] == [sprocket]
    as_user.delete(f"/v1/sprockets/{sprocket['id']}")
    assert as_user.delete(url).status_code == 204


def test_a_repeated_idempotency_key_creates_one_type(as_user: FlaskClient) -> None:
    for _ in range(2):
        response = as_user.post(
            "/v1/sprocket-types", json=TYPE, headers={"Idempotency-Key": "once"}
        )
        assert response.status_code == 201
    assert len(as_user.get("/v1/sprocket-types").get_json()["items"]) == 1
