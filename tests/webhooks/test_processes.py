"""Sales and changes of state, while the worker and Redis are killed in the middle of it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from flask import Flask

from automart.config import Settings
from automart.purchases.models import PurchaseState
from automart.webhooks.models import DeliveryState, WebhookDelivery
from sandbox.office import Offices
from sandbox.office_faults import OfficeFault
from tests.support.processes import until, worker_running
from tests.support.purchases import all_deliveries, make_purchase, make_signing_office, move
from tests.support.redis_server import RedisServer
from tests.support.storm.changes import Changes, check_order
from tests.support.storm.house import open_house
from tests.support.storm.sales import Sales
from tests.support.storm.weather import Strike, rage

SALES = 60
CHANGES = 5


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis that can be killed."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


def test_nothing_is_lost_and_nothing_doubled(
    app: Flask, settings: Settings, redis_server: RedisServer
) -> None:
    with open_house(app, settings, redis_server, Random(1)) as house:
        sold_before = [make_purchase(seller.office) for seller in house.sellers]
        happens = house.misfortunes
        counts = rage(
            [Sales(house, SALES), Changes(house, [purchase.id for purchase in sold_before])],
            [
                Strike(0.1, happens.redis_dies),
                Strike(0.2, happens.office_fails),
                Strike(0.3, happens.redis_comes_back_empty),
                Strike(0.4, happens.process_dies),
                Strike(0.5, happens.worker_dies_while_sending),
            ],
        )
    assert counts["reports accepted"] > counts["sales"] == SALES
    assert counts["changes reported"] > counts["changes"] >= 2 * len(sold_before)
    assert counts["webhooks received again"] >= 1


def test_an_office_that_hangs_does_not_hold_up_others(
    app: Flask, settings: Settings, offices: Offices
) -> None:
    dead, _ = make_signing_office(webhook_url=offices.url("dead"))
    lively, _ = make_signing_office(webhook_url=offices.url("lively"))
    offices.order(OfficeFault.TIMEOUT, office="dead")
    for _ in range(CHANGES):
        move(make_purchase(dead), PurchaseState.CANCELLED)

    def told() -> list[WebhookDelivery]:
        mine = [one for one in all_deliveries() if one.endpoint_id == lively.endpoint.id]
        return [one for one in mine if one.state is DeliveryState.SUCCEEDED]

    with worker_running(settings, "webhooks") as worker:
        until(lambda: offices.received("dead"))
        # One after the other: if each waited for the dead office's turn to end, all that is due to
        # that one would have been tried by then.
        for count in range(1, CHANGES + 1):
            move(make_purchase(lively), PurchaseState.CANCELLED)
            until(lambda count=count: len(told()) == count)
        theirs = [one for one in all_deliveries() if one.endpoint_id == dead.endpoint.id]
        assert {one.state for one in theirs} == {DeliveryState.PENDING}
        assert [] in [one.attempts for one in theirs]
        worker.kill_all()  # what the dead office has still got is of no interest


def test_the_storm_notices_a_change_that_overtakes_another() -> None:
    first, second = (7, "ordered", "manufacturing"), (7, "manufacturing", "manufactured")
    check_order([first, second], [(first, 500), (first, 200), (second, 200), (first, 200)])
    with pytest.raises(AssertionError):
        check_order([first, second], [(first, 500), (second, 200), (first, 200)])
