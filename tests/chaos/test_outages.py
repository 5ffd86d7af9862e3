"""Each part that web and worker depend on is damaged in each way while clients work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import requests
from flask import Flask
from sqlalchemy.engine import make_url

from automart.core.config import Settings
from sandbox.office import Offices
from sandbox.vpic import Vpic
from tests.chaos import damage
from tests.chaos.damage import FAULTS, Part, all_damaged
from tests.chaos.deployment import OFFICE, Deployment, deployed
from tests.chaos.load import Load
from tests.support.databases import on_postgresql
from tests.support.limits import LIMIT
from tests.support.notified import NotifiedService
from tests.support.processes import until
from tests.support.proxy import Link, Proxy, address_of
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.processes

# Longer than the answer of a database is waited for (15 seconds).
SECONDS = {"database": 18.0}
OTHERS_SECONDS = 8.0
SHORT_SECONDS = 1.5
# Deliveries that fail are tried again soon, until well after the longest outage. Redis counts for
# rate limits and for the pace of requests to NHTSA.
PATCH = """
import os
from datetime import timedelta
os.environ |= {"RATE_LIMIT": "6000/second", "NHTSA_REQUESTS_PER_SECOND": "50"}
from automart.webhooks import deliveries
deliveries.PAUSES = (timedelta(seconds=3),) * len(deliveries.PAUSES)
"""


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
def parts(
    settings: Settings, redis_server: RedisServer, vpic: Vpic, offices: Offices
) -> Iterator[dict[str, Part]]:
    """The parts, which the deployment reaches only by proxies."""
    with ExitStack() as stack:

        def proxy(url: str) -> Proxy:
            path = url.removeprefix("unix://")
            return stack.enter_context(Proxy(address_of(url) if path == url else path))

        found = [
            damage.database(settings.database_url, proxy(settings.database_url)),
            damage.redis_part(redis_server, proxy(redis_server.url)),
            damage.nhtsa(vpic, proxy(vpic.url)),
            damage.office(offices, proxy(offices.origin)),
        ]
        yield {part.name: part for part in found}


@pytest.fixture
def deployment(
    app: Flask,
    settings: Settings,
    parts: dict[str, Part],
    vpic: Vpic,
    offices: Offices,
    notified: NotifiedService,
) -> Iterator[Deployment]:
    ports = {name: part.proxy.port for name, part in parts.items()}
    url = make_url(settings.database_url).set(host="127.0.0.1", port=ports["database"])
    behind_proxies = replace(
        settings,
        database_url=url.render_as_string(hide_password=False),
        redis_url=f"redis://127.0.0.1:{ports['Redis']}/0",
        nhtsa_url=vpic.url.replace(vpic.origin, f"http://127.0.0.1:{ports['NHTSA']}"),
    )
    office_url = offices.url(OFFICE).replace(offices.origin, f"http://127.0.0.1:{ports['office']}")
    with deployed(
        app,
        behind_proxies,
        vpic=vpic,
        offices=offices,
        notified=notified,
        office_url=office_url,
        patch=PATCH,
    ) as deployment:
        yield deployment


def work_during(deployment: Deployment, damages: list[tuple[Part, str]], seconds: float) -> Load:
    """Let clients work before, during and after an outage, and check all that they did."""
    load = Load(deployment)
    load.start()
    until(lambda: load.seen.total() > 5)
    with all_damaged(damages):
        time.sleep(seconds)
    load.stop()
    load.check()
    return load


@pytest.mark.seconds(20)
@on_postgresql
def test_nothing_is_lost_or_doubled_when_all_parts_fail_at_once(
    deployment: Deployment, parts: dict[str, Part]
) -> None:
    faults = {
        "database": Link.RESET,
        "Redis": Link.HALF_OPEN,
        "NHTSA": Link.DOWN,
        "office": Link.SLOW,
    }
    work_during(deployment, [(parts[name], fault) for name, fault in faults.items()], SHORT_SECONDS)
    deployment.check_health()


@pytest.mark.chaos
@on_postgresql
@pytest.mark.parametrize("name", ["database", "Redis", "NHTSA", "office"])
def test_nothing_is_lost_or_doubled_whatever_happens_to_a_part(
    deployment: Deployment, parts: dict[str, Part], name: str, subtests: pytest.Subtests
) -> None:
    for fault in FAULTS:
        with subtests.test(fault):
            seconds = SECONDS.get(name, OTHERS_SECONDS)
            load = work_during(deployment, [(parts[name], fault)], seconds)
            deployment.check_health()
            assert requests.get(f"{deployment.url}/health/ready", timeout=LIMIT).status_code == 200
            print(f"{name} {fault}: {dict(load.seen)}, slowest response {load.slowest:.1f} s")
