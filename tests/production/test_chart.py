"""`/v1/factories/{id}/chart`."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.production.models import Factory
from tests.support import charts
from tests.support.databases import on_sqlite

SVG = "image/svg+xml"
NONE: dict[str, list[int]] = {
    "sprocket_production_actual": [],
    "sprocket_production_goal": [],
    "time": [],
}


@pytest.fixture
def factory(app: Flask) -> Factory:
    """A factory with five points ten seconds apart, starting at 2026-01-15T00:00:00Z."""
    factory = charts.make_factory("Works <&> \N{SNOWMAN}")
    start = 1_768_435_200
    charts.store(factory, [(start + 10 * n, 20, n) for n in range(5)])
    # Points of another one at the same and at other times.
    charts.store(charts.make_factory(), [(start + 5 * n - 100, 30, 100 + n) for n in range(40)])
    return factory


def ask(client: FlaskClient, factory: Factory, **query: Any) -> Any:
    return client.get(f"/v1/factories/{factory.id}/chart", query_string=query)


class TestRange:
    @on_sqlite
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, [0, 1, 2, 3, 4]),
            ({"from": "2026-01-15T00:00:10Z"}, [1, 2, 3, 4]),
            ({"from": "2026-01-15T00:00:10.5Z"}, [2, 3, 4]),
            ({"to": "2026-01-15T00:00:20Z"}, [0, 1, 2]),
            ({"to": "2026-01-15T00:00:19.9Z"}, [0, 1]),
            ({"from": "2026-01-15T01:00:10+01:00", "to": "2026-01-15T00:00:30Z"}, [1, 2, 3]),
            ({"from": "2026-01-15T00:00:20Z", "to": "2026-01-15T00:00:20Z"}, [2]),
            ({"from": "2026-01-15T00:00:11Z", "to": "2026-01-15T00:00:19Z"}, []),
            ({"from": "2026-01-16T00:00:00Z"}, []),
            ({"to": "2026-01-14T00:00:00Z"}, []),
            ({"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}, [0, 1, 2, 3, 4]),
        ],
    )
    def test_points_at_both_ends_are_included(
        self,
        as_user: FlaskClient,
        factory: Factory,
        query: dict[str, str],
        expected: list[int],
    ) -> None:
        response = ask(as_user, factory, **query)
        assert response.status_code == 200
        data = response.get_json()
        assert data["sprocket_production_actual"] == expected
        assert data["sprocket_production_goal"] == [20] * len(expected)
        assert data["time"] == [1_768_435_200 + 10 * n for n in expected]
        picture = as_user.get(response.request.full_path, headers={"Accept": SVG})
        assert picture.status_code == 200
        assert b"No points in this range" in picture.data or expected

    def test_all_points_of_a_second_are_included(self, app: Flask, as_user: FlaskClient) -> None:
        factory = charts.make_factory()
        start = 1_768_435_200
        charts.store(factory, [(start + number // 3, 20, number) for number in range(9)])
        query = {"from": "2026-01-15T00:00:01Z", "to": "2026-01-15T00:00:01Z"}
        data = ask(as_user, factory, **query).get_json()
        assert data["sprocket_production_actual"] == [3, 4, 5]

    @on_sqlite
    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ({"from": "2026-01-15T00:00:00"}, "from"),
            ({"from": "yesterday"}, "from"),
            ({"to": "1768435200"}, "to"),
            ({"from": "2026-01-15T00:00:01Z", "to": "2026-01-15T00:00:00Z"}, "to"),
            ({"points": 9}, "points"),
            ({"points": 1_001}, "points"),
            ({"points": "many"}, "points"),
            ({"start": "2026-01-15T00:00:00Z"}, "start"),
        ],
    )
    def test_a_wrong_query_is_refused(
        self, as_user: FlaskClient, factory: Factory, query: dict[str, Any], parameter: str
    ) -> None:
        response = ask(as_user, factory, **query)
        assert response.status_code == 422
        assert response.get_json()["errors"][0]["parameter"] == parameter

    @on_sqlite
    def test_a_factory_without_points_has_an_empty_chart(
        self, app: Flask, as_user: FlaskClient
    ) -> None:
        assert ask(as_user, charts.make_factory()).get_json() == NONE


class TestPoints:
    @pytest.mark.parametrize(("points", "limit"), [(None, 500), (10, 10), (1_000, 1_000)])
    def test_at_most_as_many_points_are_returned_as_requested(
        self, app: Flask, as_user: FlaskClient, points: int | None, limit: int
    ) -> None:
        factory = charts.make_factory()
        charts.fill(factory, 70_000)
        query = {} if points is None else {"points": points}
        data = ask(as_user, factory, **query).get_json()
        assert limit * 0.7 <= len(data["time"]) <= limit
        assert data["time"] == sorted(set(data["time"]))
        assert (data["time"][0], data["time"][-1]) == (
            charts.BEGAN,
            charts.BEGAN + 7 * 69_999,
        )
        actual, goal = data["sprocket_production_actual"], data["sprocket_production_goal"]
        assert (min(actual), max(actual)) == (0, 10_000)
        assert (min(goal), max(goal)) == (8_000, 8_500)


class TestMediaType:
    @on_sqlite
    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            (None, "application/json"),
            ("*/*", "application/json"),
            ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
            ("application/json;q=0.5, image/svg+xml", SVG),
            ("image/svg+xml;q=0.4, application/json;q=0.5", "application/json"),
            ("image/svg+xml;q=0.1, */*", "application/json"),
            ("image/svg+xml;q=0", "application/json"),
            ("image/avif,image/webp,image/svg+xml,image/*,*/*;q=0.8", SVG),
            ("image/*", SVG),
            ("IMAGE/SVG+XML", SVG),
            ("text/csv", "application/json"),
        ],
    )
    def test_clients_that_prefer_a_picture_get_one(
        self, as_user: FlaskClient, factory: Factory, accept: str | None, expected: str
    ) -> None:
        headers = {} if accept is None else {"Accept": accept}
        response = as_user.get(f"/v1/factories/{factory.id}/chart", headers=headers)
        assert response.status_code == 200
        assert response.mimetype == expected
        assert "Accept" in response.headers["Vary"]

    @on_sqlite
    @pytest.mark.parametrize("accept", [SVG, "application/json"])
    def test_both_media_types_have_an_etag(
        self, as_user: FlaskClient, factory: Factory, accept: str
    ) -> None:
        url = f"/v1/factories/{factory.id}/chart"
        version = as_user.get(url, headers={"Accept": accept}).headers["ETag"]
        again = as_user.get(url, headers={"Accept": accept, "If-None-Match": version})
        assert again.status_code == 304
        assert not again.data


def test_the_picture_shows_the_factory(as_user: FlaskClient, factory: Factory) -> None:
    response = as_user.get(f"/v1/factories/{factory.id}/chart", headers={"Accept": SVG})
    picture = ET.fromstring(response.data)  # noqa: S314 - it is our own
    title = picture.findtext("{http://www.w3.org/2000/svg}title")
    assert title == "Works <&> \N{SNOWMAN}: sprockets made, against the goal"


def test_a_picture_may_use_its_own_style_and_fits_into_its_window(
    as_user: FlaskClient, factory: Factory
) -> None:
    picture = as_user.get(f"/v1/factories/{factory.id}/chart", headers={"Accept": SVG})
    policy = picture.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert ":root { max-width: 100%; height: auto }" in picture.text


def test_openapi_documents_both_media_types(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    response = document["paths"]["/v1/factories/{factory_id}/chart"]["get"]["responses"]["200"]
    assert response["content"].keys() == {"application/json", SVG}
