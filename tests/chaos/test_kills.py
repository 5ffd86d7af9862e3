"""Processes are killed at each commit of each kind of job, of housekeeping and of requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from flask import Flask

from automart.core.config import Settings
from sandbox.office import Offices
from sandbox.vpic import Vpic
from tests.chaos.deployment import Deployment, deployed, wait_for_jobs
from tests.chaos.fault_points import AFTER, BEFORE, FaultPoints
from tests.chaos.work import Work, all_works
from tests.support.databases import on_postgresql_if_installed
from tests.support.notified import NotifiedService

pytestmark = pytest.mark.processes

Point = tuple[int, str]
# Of one sample of each, most are killed between the commit and what follows it.
SAMPLE: dict[str, Point] = {
    "purchase_recording": (2, AFTER),
    "POST /v1/sales-webhook": (1, AFTER),
    "vehicle_sync": (3, BEFORE),
    "csv_import": (1, AFTER),
    "vin_decoding": (1, BEFORE),
    "webhook_delivery": (2, BEFORE),
    "notice_delivery": (3, AFTER),
    "housekeeping": (1, AFTER),
    "POST /v1/bookings": (1, AFTER),
}


@pytest.fixture
def points(tmp_path: Path) -> FaultPoints:
    return FaultPoints(tmp_path)


@pytest.fixture
def deployment(
    app: Flask,
    settings: Settings,
    vpic: Vpic,
    offices: Offices,
    notified: NotifiedService,
    points: FaultPoints,
) -> Iterator[Deployment]:
    with deployed(
        app, settings, vpic=vpic, offices=offices, notified=notified, patch=points.patch
    ) as deployment:
        yield deployment


def kill_at(
    deployment: Deployment, points: FaultPoints, armed: Sequence[tuple[Work, Point]]
) -> set[str]:
    """Do all work, each killed at its point. Return the names of those that were."""
    for work, (commit, moment) in armed:
        points.arm(work.name, commit, moment)
    for work, _ in armed:
        work.start(deployment)
    wait_for_jobs()
    # Housekeeping reaches its points in one of its next rounds.
    reached = {work.name for work, _ in armed if points.disarm(work.name)}
    for work, _ in armed:
        work.check(deployment)
    return reached


@pytest.mark.seconds(10)
@on_postgresql_if_installed
def test_work_that_is_killed_at_a_commit_is_done_once(
    deployment: Deployment, points: FaultPoints
) -> None:
    armed = [(work, SAMPLE[work.name]) for work in all_works()]
    assert kill_at(deployment, points, armed) == SAMPLE.keys()
    deployment.check_health()


@pytest.mark.chaos
def test_work_that_is_killed_at_any_commit_is_done_once(
    deployment: Deployment, points: FaultPoints
) -> None:
    left = {work.name for work in all_works()}
    reached: Counter[str] = Counter()
    commit = 0
    while left:
        commit += 1
        for moment in (BEFORE, AFTER):
            armed = [(work, (commit, moment)) for work in all_works() if work.name in left]
            left = kill_at(deployment, points, armed)
            reached.update(left)
            deployment.check_health()
    print(f"Killed and recovered: {dict(reached)}")
    assert reached.keys() == SAMPLE.keys()
    assert reached.total() >= 40
