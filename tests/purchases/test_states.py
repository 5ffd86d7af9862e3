"""A manufacturer says how far its cars are. Every pair of states is tried."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any
from urllib.parse import unquote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from automart.catalogue.models import VehicleMake
from automart.core.db import db, transaction
from automart.partners.models import Manufacturer
from automart.purchases.models import PurchaseChange, PurchaseState
from automart.web.fields import rfc3339
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem
from tests.support.inventory import ids, pointers
from tests.support.purchases import (
    HONDA,
    TOYOTA,
    all_deliveries,
    make_manufacturer,
    make_office,
    make_purchase,
    make_signing_office,
    move,
)

S = PurchaseState
PAIRS = list(itertools.product(PurchaseState, PurchaseState))
ALLOWED = {
    (S.ORDERED, S.MANUFACTURING),
    (S.MANUFACTURING, S.MANUFACTURED),
    (S.MANUFACTURED, S.SHIPPED),
    (S.SHIPPED, S.DELIVERED),
    (S.ORDERED, S.CANCELLED),
    (S.MANUFACTURING, S.CANCELLED),
}


@pytest.fixture
def client(app: Flask, as_manufacturer: Callable[[Manufacturer], FlaskClient]) -> FlaskClient:
    return as_manufacturer(make_manufacturer(HONDA))


def update(client: FlaskClient, purchase_id: int, state: object) -> Any:
    return client.post(f"/v1/update-state-webhook/{purchase_id}", json={"state": state})


@on_sqlite
@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_state_follows_or_is_refused(
    client: FlaskClient, before: PurchaseState, after: PurchaseState
) -> None:
    purchase_id = make_purchase(make_office(), before).id
    read = f"/v1/purchases/{purchase_id}"
    was = client.get(read).get_json()
    response = update(client, purchase_id, after.value)
    now = client.get(read).get_json()
    if (before, after) in ALLOWED:
        assert response.status_code == 200
        assert response.get_json() == now
        assert now["state"] == after.value
        assert now["history"][:-1] == was["history"]
        assert now["history"][-1]["state"] == after.value
        assert now["updated_at"] > was["updated_at"]
        return
    assert now == was
    if before is after:
        assert response.status_code == 200
        assert response.get_json() == was
    else:
        assert response.status_code == 409
        followers = sorted(state for was, state in ALLOWED if was is before)
        allowed = " or ".join(followers) or "nothing"
        detail = f"{after} does not follow {before}. Allowed: {allowed}."
        assert response.get_json()["detail"] == detail


def test_the_office_is_notified_of_a_change(app: Flask) -> None:
    office, _ = make_signing_office(webhook_url="https://office.example/events")
    purchase = make_purchase(office, order_number="Ä-1")
    move(purchase, S.MANUFACTURING)
    (delivery,) = all_deliveries()
    assert (delivery.type, delivery.subject) == (
        "purchase.state_changed",
        f"purchase:{purchase.id}",
    )
    event = {
        "type": "purchase.state_changed",
        "timestamp": rfc3339(purchase.history[-1].at),
        "data": {
            "purchase_id": purchase.id,
            "external_order_number": "Ä-1",
            "previous_state": "ordered",
            "state": "manufacturing",
        },
    }
    assert delivery.body == json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def test_the_database_itself_refuses_what_does_not_follow(app: Flask) -> None:
    office = make_office()
    statement = text("UPDATE purchase SET state = :state WHERE id = :id")
    taken = set()
    for before, after in PAIRS:
        purchase_id = make_purchase(office, before).id
        try:
            with transaction():
                db.session.execute(statement, {"state": after.value, "id": purchase_id})
        except IntegrityError:
            continue
        taken.add((before, after))
    assert taken == set(ALLOWED) | {(state, state) for state in S}


def test_the_database_itself_begins_with_ordered(app: Flask) -> None:
    purchase = make_purchase(make_office())
    copied = text(
        "INSERT INTO purchase (regional_office_id, external_order_number, make_id, car_model,"
        " state, created_at, updated_at) SELECT regional_office_id, 'B-1', make_id, car_model,"
        " 'shipped', created_at, updated_at FROM purchase WHERE id = :id"
    )
    with pytest.raises(IntegrityError), transaction():
        db.session.execute(copied, {"id": purchase.id})


def test_changes_follow_each_other_although_the_clock_of_a_host_is_behind(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = make_purchase(make_office())
    ordered = purchase.history[0].at
    monkeypatch.setattr("automart.purchases.service.utcnow", lambda: ordered - timedelta(minutes=5))
    for count, state in enumerate((S.MANUFACTURING, S.MANUFACTURED), start=1):
        changed = update(client, purchase.id, state.value).get_json()
        at = rfc3339(ordered + timedelta(microseconds=count))
        assert (changed["history"][-1]["at"], changed["updated_at"]) == (at, at)


def test_another_manufacturers_purchase_is_not_there(client: FlaskClient) -> None:
    toyota = make_purchase(make_office(), make_id=TOYOTA)
    for purchase_id in (toyota.id, 4711):
        refused = assert_problem(update(client, purchase_id, "manufacturing"), 404)
        assert refused["detail"] == f"There is no purchase {purchase_id}."
    assert toyota.state is S.ORDERED


@on_sqlite
@pytest.mark.parametrize("state", ["lost", "", None, 7, "ORDERED", ["ordered"]])
def test_a_state_that_is_none_is_refused(client: FlaskClient, state: object) -> None:
    purchase = make_purchase(make_office())
    assert pointers(update(client, purchase.id, state)) == {"#/state"}


def test_what_is_to_be_made_comes_oldest_first(client: FlaskClient) -> None:
    office = make_office()
    first, second, third = (make_purchase(office) for _ in range(3))
    make_purchase(office, make_id=TOYOTA)
    move(second, S.MANUFACTURING)
    listed = client.get("/v1/get-all-vehicles-for-manufacturing/hONDA")
    assert listed.get_json()["items"] == [
        {"id": purchase.id, "car_model": "Civic", "brand": "Honda"} for purchase in (first, third)
    ]


def test_the_list_has_pages(client: FlaskClient) -> None:
    office = make_office()
    first, second = make_purchase(office), make_purchase(office)
    page = client.get("/v1/get-all-vehicles-for-manufacturing/Honda?limit=1")
    assert ids(page) == [first.id]
    move(first, S.MANUFACTURING)
    cursor = page.get_json()["next_cursor"]
    rest = client.get(f"/v1/get-all-vehicles-for-manufacturing/Honda?cursor={cursor}&limit=1")
    assert ids(rest) == [second.id]


def test_a_brand_may_have_a_slash(
    app: Flask, as_manufacturer: Callable[[Manufacturer], FlaskClient]
) -> None:
    with transaction():
        db.session.add(VehicleMake(id=7, name="A/B Motors"))
    client = as_manufacturer(make_manufacturer(7))
    listed = client.get("/v1/get-all-vehicles-for-manufacturing/A%2Fb%20motors")
    assert listed.get_json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("brand", ["Toyota", "Yugo", "%00", "Hon"])
def test_another_manufacturers_brand_is_not_there(client: FlaskClient, brand: str) -> None:
    make_purchase(make_office(), make_id=TOYOTA)
    path = f"/v1/get-all-vehicles-for-manufacturing/{brand}"
    refused = assert_problem(client.get(path), 404)
    assert refused["detail"] == f"You have no make {unquote(brand)}."


def test_the_same_news_at_once_is_one_change(app: Flask, client: FlaskClient) -> None:
    purchase_id = make_purchase(make_office()).id
    db.session.remove()
    barrier, answers = Barrier(6), []

    def report(state: str) -> None:
        barrier.wait()
        answers.append(update(client, purchase_id, state).status_code)

    threads = [Thread(target=report, args=(s,)) for s in ("manufacturing", "cancelled") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 409}
    changes = db.session.query(PurchaseChange).filter_by(purchase_id=purchase_id)
    states = [change.state for change in changes.order_by(PurchaseChange.id)]
    assert states in (
        [S.ORDERED, S.MANUFACTURING, S.CANCELLED],
        [S.ORDERED, S.CANCELLED],
    )
