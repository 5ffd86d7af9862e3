from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select

from automart.core.db import db
from automart.production.models import ChartPoint
from tests.production.conftest import Make
from tests.support import charts
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem

CHARTED = "?with_chart_data=true"
ChartOf = Callable[[int], list[tuple[int, int]]]


def test_a_factory_is_created_read_updated_and_deleted(as_user: FlaskClient, make: Make) -> None:
    location = make("locations")
    other = make("locations", name="South Works")
    made = make("factories", location_id=location["id"])
    url = f"/v1/factories/{made['id']}"
    assert made == {
        "id": made["id"],
        "name": "Line 1",
        "location": location,
        "sprocket_production_goal": 10,
        "sprocket_production_actual": 0,
    }
    assert as_user.get(url).get_json() == made
    changed = as_user.patch(url, json={"name": "Line 2", "location_id": other["id"]}).get_json()
    assert changed == made | {"name": "Line 2", "location": other}
    assert as_user.get("/v1/factories").get_json()["items"] == [changed]
    assert as_user.delete(url).status_code == 204
    assert as_user.get(url).status_code == 404
    assert db.session.scalar(select(func.count()).select_from(ChartPoint)) == 0


@on_sqlite
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None),
        ("name", ""),
        ("location_id", None),
        ("location_id", 999),
        ("location_id", 2**63),
        ("location_id", "1"),
        ("sprocket_production_goal", None),
        ("sprocket_production_goal", -1),
        ("sprocket_production_goal", 1.5),
        ("sprocket_production_goal", 2**40),
        ("sprocket_production_actual", 5),
        ("location", {"id": 1}),
        ("chart_data", {}),
    ],
)
def test_a_wrong_value_is_refused_and_the_lists_still_work(
    as_user: FlaskClient, make: Make, chart_of: ChartOf, name: str, value: Any
) -> None:
    made = make("factories")
    values = {
        "name": "X",
        "location_id": made["location"]["id"],
        "sprocket_production_goal": 1,
    }
    refused = [
        as_user.patch(f"/v1/factories/{made['id']}", json={name: value}),
        as_user.post("/v1/factories", json=values | {name: value}),
    ]
    for response in refused:
        assert response.status_code == 422
        assert response.get_json()["errors"][0]["pointer"] == f"#/{name}"
    assert as_user.get("/v1/factories").get_json()["items"] == [made]
    assert chart_of(made["id"]) == [(0, 10)]


class TestChart:
    def test_a_chart_starts_with_the_factory_and_follows_its_goal(
        self, as_user: FlaskClient, make: Make, chart_of: ChartOf
    ) -> None:
        url = f"/v1/factories/{make('factories')['id']}"
        for goal in (12, 12, 9):
            response = as_user.patch(url, json={"sprocket_production_goal": goal})
            assert response.get_json()["sprocket_production_goal"] == goal
        as_user.patch(url, json={"name": "Adds no point"})
        assert chart_of(int(url.rpartition("/")[2])) == [(0, 10), (0, 12), (0, 9)]

    def test_a_factory_includes_its_chart_on_request(
        self, as_user: FlaskClient, make: Make
    ) -> None:
        made = make("factories")
        url = f"/v1/factories/{made['id']}"
        shown = as_user.get(f"{url}?with_chart_data=true").get_json()
        data = shown.pop("chart_data")
        assert shown == made
        assert data["sprocket_production_actual"] == [0]
        assert data["sprocket_production_goal"] == [10]
        assert len(data["time"]) == 1
        assert data == as_user.get(f"{url}/chart").get_json()
        assert "chart_data" not in as_user.get(f"{url}?with_chart_data=false").get_json()

    @pytest.mark.parametrize("value", ["1", "yes", "True"])
    def test_with_chart_data_must_be_true_or_false(self, as_user: FlaskClient, value: str) -> None:
        response = as_user.get(f"/v1/factories?with_chart_data={value}")
        assert response.status_code == 422
        assert response.get_json()["errors"][0]["parameter"] == "with_chart_data"

    def test_an_included_chart_has_at_most_a_thousand_points(
        self, app: Flask, as_user: FlaskClient
    ) -> None:
        factory = charts.make_factory()
        charts.fill(factory, 5_000)
        url = f"/v1/factories/{factory.id}?with_chart_data=true"
        data = as_user.get(url).get_json()["chart_data"]
        assert 900 <= len(data["time"]) <= 1_000
        assert data["time"][0] == charts.BEGAN

    def test_the_number_of_queries_does_not_depend_on_the_number_of_charts(
        self, app: Flask, as_user: FlaskClient
    ) -> None:
        def queries() -> int:
            seen: list[str] = []

            def see(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
                seen.append(statement)

            event.listen(db.engine, "before_cursor_execute", see)
            items = as_user.get("/v1/factories?with_chart_data=true").get_json()["items"]
            event.remove(db.engine, "before_cursor_execute", see)
            assert all(item["chart_data"]["time"] for item in items)
            return len(seen)

        charts.fill(charts.make_factory(), 100)
        for_one = queries()
        for length in (1, 3_000, 70_000):
            charts.fill(charts.make_factory(), length)
        assert queries() == for_one

    def test_a_cursor_is_valid_with_and_without_charts(
        self, as_user: FlaskClient, make: Make
    ) -> None:
        location_id = make("locations")["id"]
        made = [make("factories", location_id=location_id)["id"] for _ in range(3)]
        first = as_user.get("/v1/factories?limit=2").get_json()
        query = {"cursor": first["next_cursor"], "with_chart_data": "true"}
        rest = as_user.get("/v1/factories", query_string=query).get_json()
        assert [item["id"] for item in first["items"] + rest["items"]] == made


def test_a_repeated_idempotency_key_creates_one_factory(
    as_user: FlaskClient, make: Make, chart_of: ChartOf
) -> None:
    body = {
        "name": "A",
        "location_id": make("locations")["id"],
        "sprocket_production_goal": 3,
    }
    for _ in range(2):
        response = as_user.post("/v1/factories", json=body, headers={"Idempotency-Key": "once"})
        assert response.status_code == 201
    items = as_user.get("/v1/factories").get_json()["items"]
    assert [chart_of(item["id"]) for item in items] == [[(0, 3)]]


class TestVersions:
    def test_a_new_sprocket_makes_a_new_version(self, as_user: FlaskClient, make: Make) -> None:
        factory = make("factories")
        url = f"/v1/factories/{factory['id']}"
        version = as_user.get(url).headers["ETag"]
        assert as_user.get(url, headers={"If-None-Match": version}).status_code == 304
        make("sprockets", factory_id=factory["id"])
        assert as_user.get(url, headers={"If-None-Match": version}).status_code == 200
        stale = as_user.patch(url, json={"name": "X"}, headers={"If-Match": version})
        assert stale.status_code == 412

    def test_the_version_of_a_factory_with_its_chart_changes_with_the_chart(
        self, as_user: FlaskClient, make: Make
    ) -> None:
        factory_id = make("factories")["id"]
        plain, charted = (f"/v1/factories/{factory_id}{query}" for query in ("", CHARTED))
        before = {url: as_user.get(url).headers["ETag"] for url in (plain, charted)}
        assert before[plain] != before[charted]
        for url, version in before.items():
            for asked in (version, f"W/{version}", "*"):
                unchanged = as_user.get(url, headers={"If-None-Match": asked})
                assert unchanged.status_code == 304
                assert unchanged.data == b""
        for goal in (11, 10):  # back to the same factory, with a longer chart
            as_user.patch(plain, json={"sprocket_production_goal": goal})
        assert as_user.get(plain, headers={"If-None-Match": before[plain]}).status_code == 304
        assert as_user.get(charted, headers={"If-None-Match": before[charted]}).status_code == 200
        same_factory = {"If-Match": before[charted]}
        assert as_user.patch(plain, json={"name": "X"}, headers=same_factory).status_code == 200

    def test_a_factory_that_was_read_with_its_chart_can_be_updated(
        self, as_user: FlaskClient, make: Make
    ) -> None:
        factory = make("factories")
        url = f"/v1/factories/{factory['id']}"
        version = {"If-Match": as_user.get(url + CHARTED).headers["ETag"]}
        changed = as_user.patch(url, json={"sprocket_production_goal": 11}, headers=version)
        assert changed.status_code == 200
        assert "chart_data" not in changed.get_json()
        assert as_user.patch(url, json={"name": "X"}, headers=version).status_code == 412
        assert as_user.delete(url, headers=version).status_code == 412


def test_a_factory_with_sprockets_is_not_deleted(as_user: FlaskClient, make: Make) -> None:
    sprocket = make("sprockets")
    url = f"/v1/factories/{sprocket['factory_id']}"
    problem = assert_problem(as_user.delete(url), 409)
    assert problem["detail"] == f"Factory {sprocket['factory_id']} still has sprockets."
    assert as_user.get(url).get_json()["sprocket_production_actual"] == 1
    as_user.delete(f"/v1/sprockets/{sprocket['id']}")
    assert as_user.delete(url).status_code == 204


@pytest.mark.parametrize("path", ["locations", "sprocket-types", "factories", "sprockets"])
class TestAccess:
    def test_only_people_have_access(
        self, client: FlaskClient, as_catalogue: FlaskClient, path: str
    ) -> None:
        for call in ("get", "post"):
            assert getattr(client, call)(f"/v1/{path}").status_code == 401
            assert getattr(as_catalogue, call)(f"/v1/{path}").status_code == 403
        for call in ("get", "patch", "delete"):
            assert getattr(client, call)(f"/v1/{path}/1").status_code == 401
            assert getattr(as_catalogue, call)(f"/v1/{path}/1").status_code == 403
        assert as_catalogue.get("/v1/factories/1/chart").status_code == 403

    def test_unknown_ids_are_404(self, as_user: FlaskClient, path: str) -> None:
        for number in (1, 2**63):
            assert as_user.get(f"/v1/{path}/{number}").status_code == 404
            assert as_user.patch(f"/v1/{path}/{number}", json={}).status_code == 404
            assert as_user.delete(f"/v1/{path}/{number}").status_code == 404
        assert as_user.get("/v1/factories/1/chart").status_code == 404
