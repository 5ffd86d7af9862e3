from __future__ import annotations

from itertools import pairwise

from flask import Flask
from flask.testing import FlaskClient

from automart.core.db import transaction, utcnow
from automart.production.seed import (
    FACTORIES,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    add_sample_production,
)


def test_the_samples_have_three_factories_with_a_day_of_history(
    app: Flask, as_user: FlaskClient
) -> None:
    before = int(utcnow().timestamp())
    with transaction():
        assert add_sample_production()
    factories = as_user.get("/v1/factories?with_chart_data=true").get_json()["items"]
    assert len(factories) == 3
    assert len(as_user.get("/v1/locations").get_json()["items"]) == 3
    assert len(as_user.get("/v1/sprocket-types").get_json()["items"]) == 3
    for factory in factories:
        data = factory["chart_data"]
        actual, goal = data["sprocket_production_actual"], data["sprocket_production_goal"]
        query = {"factory_id": factory["id"], "limit": 100}
        sprockets = as_user.get("/v1/sprockets", query_string=query).get_json()["items"]
        assert len(sprockets) == factory["sprocket_production_actual"] == actual[-1]
        assert goal[-1] == factory["sprocket_production_goal"]
        times = data["time"]
        pairs = zip(times, [None, *goal[:-1]], goal, strict=True)
        changes = [(at - times[0], new) for at, old, new in pairs if new != old]
        (sample,) = [each for each in FACTORIES if each.name == factory["name"]]
        assert changes == [(hour * SECONDS_PER_HOUR, new) for hour, new in sample.goals]
        assert before - SECONDS_PER_DAY <= times[0] <= utcnow().timestamp() - SECONDS_PER_DAY
        assert 0.8 * SECONDS_PER_DAY < times[-1] - times[0] <= SECONDS_PER_DAY
        assert {abs(b - a) for a, b in pairwise(actual)} <= {0, 1}


def test_the_samples_are_added_only_once(app: Flask, as_user: FlaskClient) -> None:
    for expected in (True, False):
        with transaction():
            assert add_sample_production() is expected
    assert len(as_user.get("/v1/factories").get_json()["items"]) == 3
