"""Sales and changes of state while the worker and Redis are killed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from flask import Flask

from automart.core.config import Settings
from automart.purchases.models import PurchaseState
from automart.webhooks.models import DeliveryState, WebhookDelivery
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from tests.support.databases import on_postgresql_if_installed, on_sqlite
from tests.support.processes import until, worker_running
from tests.support.purchases import all_deliveries, make_purchase, make_signing_office, move
from tests.support.redis_server import RedisServer
from tests.support.storm.changes import Changes, check_order
from tests.support.storm.deployment import start_deployment
from tests.support.storm.load import ScheduledFault, run_with_faults
from tests.support.storm.sales import Sales

pytestmark = pytest.mark.processes

SALES = 30
CHANGES = 5


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis that can be killed."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.mark.seconds(14)
@on_postgresql_if_installed
def test_nothing_is_lost_or_duplicated_while_processes_are_killed(
    app: Flask, settings: Settings, redis_server: RedisServer
) -> None:
    with start_deployment(app, settings, redis_server, Random(1)) as deployment:
        sold_before = [make_purchase(seller.office) for seller in deployment.sellers]
        faults = deployment.faults
        counts = run_with_faults(
            [
                Sales(deployment, SALES),
                Changes(deployment, [purchase.id for purchase in sold_before]),
            ],
            [
                ScheduledFault(0.1, faults.redis_dies),
                ScheduledFault(0.2, faults.office_fails),
                ScheduledFault(0.3, faults.redis_comes_back_empty),
                ScheduledFault(0.4, faults.process_dies),
                ScheduledFault(0.5, faults.worker_dies_while_sending),
            ],
        )
    assert counts["reports accepted"] > counts["sales"] == SALES
    assert counts["changes reported"] > counts["changes"] > len(sold_before)
    assert counts["webhooks received more than once"] >= 1


@on_sqlite
def test_an_office_that_hangs_does_not_delay_others(
    app: Flask, settings: Settings, offices: Offices
) -> None:
    dead, _ = make_signing_office(webhook_url=offices.url("dead"))
    lively, _ = make_signing_office(webhook_url=offices.url("lively"))
    offices.order(OfficeFault.TIMEOUT, office="dead")
    for _ in range(CHANGES):
        move(make_purchase(dead), PurchaseState.CANCELLED)

    def delivered() -> list[WebhookDelivery]:
        mine = [one for one in all_deliveries() if one.endpoint_id == lively.endpoint.id]
        return [one for one in mine if one.state is DeliveryState.SUCCEEDED]

    with worker_running(settings, "webhooks") as worker:
        until(lambda: offices.received("dead"))
        # One after the other: if each waited for the dead office's turn to end, all that is due to
        # that one would have been tried by then.
        for count in range(1, CHANGES + 1):
            move(make_purchase(lively), PurchaseState.CANCELLED)
            until(lambda count=count: len(delivered()) == count)
        of_dead = [one for one in all_deliveries() if one.endpoint_id == dead.endpoint.id]
        assert {one.state for one in of_dead} == {DeliveryState.PENDING}
        assert [] in [one.attempts for one in of_dead]
        worker.kill_all()  # what the dead office has still got is of no interest


def test_check_order_notices_a_change_that_overtakes_another() -> None:
    first, second = (7, "ordered", "manufacturing"), (7, "manufacturing", "manufactured")
    check_order([first, second], [(first, 500), (first, 200), (second, 200), (first, 200)])
    with pytest.raises(AssertionError):
        check_order([first, second], [(first, 500), (second, 200), (first, 200)])
