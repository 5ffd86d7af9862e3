from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.production.conftest import Make
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem

ChartOf = Callable[[int], list[tuple[int, int]]]


def actual(as_user: FlaskClient, factory_id: int) -> int:
    count: int = as_user.get(f"/v1/factories/{factory_id}").get_json()["sprocket_production_actual"]
    return count


def test_a_sprocket_is_created_read_updated_and_deleted(
    as_user: FlaskClient, make: Make, chart_of: ChartOf
) -> None:
    made = make("sprockets")
    factory_id = made["factory_id"]
    url = f"/v1/sprockets/{made['id']}"
    assert as_user.get(url).get_json() == made
    assert actual(as_user, factory_id) == 1
    other = make("sprocket-types", name="Other")["id"]
    changed = as_user.patch(url, json={"name": "B", "sprocket_type_id": other}).get_json()
    assert changed == made | {"name": "B", "sprocket_type_id": other}
    assert as_user.get("/v1/sprockets").get_json()["items"] == [changed]
    assert as_user.delete(url).status_code == 204
    assert as_user.get(url).status_code == 404
    assert actual(as_user, factory_id) == 0
    assert chart_of(factory_id) == [(0, 10), (1, 10), (0, 10)]


@on_sqlite
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None),
        ("sprocket_type_id", None),
        ("sprocket_type_id", 999),
        ("factory_id", None),
        ("factory_id", 999),
        ("factory_id", 2**70),
        ("factory_id", 0),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_is_counted(
    as_user: FlaskClient, make: Make, chart_of: ChartOf, name: str, value: Any
) -> None:
    made = make("sprockets")
    refused = [
        as_user.patch(f"/v1/sprockets/{made['id']}", json={name: value}),
        as_user.post(
            "/v1/sprockets", json={k: v for k, v in made.items() if k != "id"} | {name: value}
        ),
    ]
    for response in refused:
        (error,) = assert_problem(response, 422)["errors"]
        assert error["pointer"] == f"#/{name}"
        if value == 999:
            what = "factory" if name == "factory_id" else "sprocket type"
            assert error["detail"] == f"There is no {what} 999."
    assert as_user.get("/v1/sprockets").get_json()["items"] == [made]
    assert chart_of(made["factory_id"]) == [(0, 10), (1, 10)]


class TestMoving:
    def test_a_moved_sprocket_is_counted_by_the_other_factory_and_adds_a_point_to_both(
        self, as_user: FlaskClient, make: Make, chart_of: ChartOf
    ) -> None:
        source = make("factories")["id"]
        target = make("factories")["id"]
        made = make("sprockets", factory_id=source)
        url = f"/v1/sprockets/{made['id']}"
        moved = as_user.patch(url, json={"factory_id": target})
        assert moved.get_json() == made | {"factory_id": target}
        assert chart_of(source) == [(0, 10), (1, 10), (0, 10)]
        assert chart_of(target) == [(0, 10), (1, 10)]
        assert (actual(as_user, source), actual(as_user, target)) == (0, 1)

    def test_a_move_to_the_same_factory_adds_no_point(
        self, as_user: FlaskClient, make: Make, chart_of: ChartOf
    ) -> None:
        made = make("sprockets")
        factory_id = made["factory_id"]
        response = as_user.patch(
            f"/v1/sprockets/{made['id']}", json={"factory_id": factory_id, "name": "Same place"}
        )
        assert response.status_code == 200
        assert chart_of(factory_id) == [(0, 10), (1, 10)]
        assert actual(as_user, factory_id) == 1

    def test_a_stale_version_prevents_a_move(
        self, as_user: FlaskClient, make: Make, chart_of: ChartOf
    ) -> None:
        made = make("sprockets")
        target = make("factories")["id"]
        url = f"/v1/sprockets/{made['id']}"
        version = {"If-Match": as_user.get(url).headers["ETag"]}
        as_user.patch(url, json={"name": "New"}, headers=version)
        stale = as_user.patch(url, json={"factory_id": target}, headers=version)
        assert stale.status_code == 412
        assert chart_of(target) == [(0, 10)]


def test_a_repeated_idempotency_key_counts_once(
    as_user: FlaskClient, make: Make, chart_of: ChartOf
) -> None:
    factory_id = make("factories")["id"]
    body = {
        "name": "A",
        "factory_id": factory_id,
        "sprocket_type_id": make("sprocket-types")["id"],
    }
    for _ in range(2):
        response = as_user.post("/v1/sprockets", json=body, headers={"Idempotency-Key": "once"})
        assert response.status_code == 201
    assert chart_of(factory_id) == [(0, 10), (1, 10)]


def test_sprockets_are_filtered_by_factory_and_type(as_user: FlaskClient, make: Make) -> None:
    factories = [make("factories")["id"] for _ in range(2)]
    types = [make("sprocket-types")["id"] for _ in range(2)]
    made = {
        (factory_id, type_id): make("sprockets", factory_id=factory_id, sprocket_type_id=type_id)
        for factory_id in factories
        for type_id in types
    }

    def found(**query: int) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = as_user.get("/v1/sprockets", query_string=query).get_json()[
            "items"
        ]
        return items

    assert found(factory_id=factories[0]) == [made[factories[0], type_id] for type_id in types]
    assert found(sprocket_type_id=types[1]) == [made[place, types[1]] for place in factories]
    both = {"factory_id": factories[1], "sprocket_type_id": types[0]}
    assert found(**both) == [made[factories[1], types[0]]]
    assert found(factory_id=999) == []
    assert as_user.get("/v1/sprockets?factory_id=x").status_code == 422
