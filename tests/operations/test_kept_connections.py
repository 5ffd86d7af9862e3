"""Clients that keep their connections share few threads, and each gets its own responses."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path
from random import Random

import psutil
import pytest
import requests

from tests.support.limits import LIMIT
from tests.support.processes import until
from tests.support.setup import make_settings, migrate
from tests.support.web import at_once, gunicorn_running

pytestmark = pytest.mark.processes

CLIENTS = 12
REQUESTS = 60


def use(url: str, seed: int) -> Counter[int]:
    """Send requests over connections that stay open for some of them. Count the statuses."""
    chance, statuses = Random(seed), Counter[int]()
    client = requests.Session()
    for _ in range(REQUESTS):
        request_id = {"X-Request-ID": uuid.uuid4().hex}
        if chance.random() < 0.1:  # computes without a turn
            login = {"email": "nobody@example.com", "password": "wrong" * 3}
            response = client.post(f"{url}/login", json=login, headers=request_id, timeout=LIMIT)
        else:
            response = client.get(f"{url}/health/live", headers=request_id, timeout=LIMIT)
        assert response.headers["X-Request-ID"] == request_id["X-Request-ID"]
        statuses[response.status_code] += 1
        if chance.random() < 0.05:
            client.close()
    client.close()
    return statuses


def test_each_client_gets_its_own_responses_and_no_connection_is_left(tmp_path: Path) -> None:
    settings = make_settings(f"sqlite:///{tmp_path}/automart.sqlite", instance=tmp_path)
    migrate(settings.database_url, tmp_path)
    with gunicorn_running(settings, "--workers", "1") as gunicorn:
        calls = [lambda seed=seed: use(gunicorn.url, seed) for seed in range(CLIENTS)]
        statuses = sum(at_once(calls), Counter[int]())
        assert statuses.keys() <= {200, 401, 429}
        assert statuses.total() == CLIENTS * REQUESTS
        (worker,) = map(psutil.Process, gunicorn.workers())
        until(lambda: {each.status for each in worker.net_connections("tcp")} == {"LISTEN"})
