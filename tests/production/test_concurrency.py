"""Concurrent writers, each with a database connection of its own."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from automart import create_app
from automart.accounts.models import User
from automart.core.config import Settings
from automart.core.db import db
from automart.production.models import ChartPoint, Factory, Sprocket
from tests.production.conftest import Make
from tests.support import people

APPS, WRITERS_PER_APP, CHANGES = 4, 8, 6
FINE = {200, 201, 204}
GONE = 404  # another writer has deleted it


@contextmanager
def several_apps(settings: Settings) -> Iterator[list[Flask]]:
    """Yield several applications, which stand for processes."""
    apps = [create_app(settings) for _ in range(APPS)]
    yield apps
    for app in apps:
        with app.app_context():
            db.engine.dispose()
        app.extensions["redis"].close()


class Writer:
    """Creates, moves and deletes sprockets, and sets new goals."""

    def __init__(self, client: FlaskClient, seed: int, factories: list[int], kind: int) -> None:
        self.client = client
        self.rng = random.Random(seed)
        self.factories = factories
        self.kind = kind

    def work(self, start: threading.Barrier, known: list[int]) -> list[int]:
        start.wait()
        return [self.change(known) for _ in range(CHANGES)]

    def change(self, known: list[int]) -> int:
        """Make a random change and return the status."""
        chance = self.rng.random()
        factory = self.rng.choice(self.factories)
        if chance < 0.4:
            values = {"name": "S", "factory_id": factory, "sprocket_type_id": self.kind}
            response = self.client.post("/v1/sprockets", json=values)
            if response.status_code == 201:
                known.append(response.get_json()["id"])
            return response.status_code
        if chance < 0.5:
            goal = {"sprocket_production_goal": self.rng.randrange(1_000)}
            return self.client.patch(f"/v1/factories/{factory}", json=goal).status_code
        url = f"/v1/sprockets/{self.rng.choice(known)}"
        if chance < 0.85:
            return self.client.patch(url, json={"factory_id": factory}).status_code
        return self.client.delete(url).status_code


def test_count_and_chart_agree_after_32_writers(app: Flask, settings: Settings, make: Make) -> None:
    factories = [make("factories")["id"] for _ in range(3)]
    kind = make("sprocket-types")["id"]
    known = [
        make("sprockets", factory_id=factory, sprocket_type_id=kind)["id"]
        for factory in factories
        for _ in range(4)
    ]
    token = people.token_of(app, db.session.scalars(select(User)).one())
    writers = APPS * WRITERS_PER_APP
    start = threading.Barrier(writers)
    with several_apps(settings) as apps, ThreadPoolExecutor(writers) as pool:
        running = [
            pool.submit(
                Writer(people.with_token(apps[n % APPS], token), n, factories, kind).work,
                start,
                known,
            )
            for n in range(writers)
        ]
        statuses = Counter(status for run in running for status in run.result())
    assert statuses.keys() <= FINE | {GONE}, statuses
    assert statuses.keys() >= FINE, statuses

    db.session.rollback()
    stored = db.session.scalar(select(func.count()).select_from(Sprocket))
    assert stored == 12 + statuses[201] - statuses[204]
    for factory_id in factories:
        check_agreement(db.session.get_one(Factory, factory_id, populate_existing=True))


def check_agreement(factory: Factory) -> None:
    """Check that the count is the number of sprockets and the chart's last point.

    Each point must differ from the previous one by a single change: one sprocket, or a new goal.
    """
    of_factory = select(func.count()).where(Sprocket.factory_id == factory.id)
    assert db.session.scalar(of_factory) == factory.sprocket_production_actual
    chart = select(ChartPoint).where(ChartPoint.factory_id == factory.id)
    points = db.session.scalars(chart.order_by(ChartPoint.number)).all()
    assert [point.number for point in points] == list(range(factory.chart_length))
    assert points[-1].actual == factory.sprocket_production_actual
    assert points[-1].goal == factory.sprocket_production_goal
    for before, after in pairwise(points):
        assert after.time >= before.time
        assert abs(after.actual - before.actual) == (1 if after.goal == before.goal else 0)
