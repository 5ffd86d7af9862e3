"""An office reports its sales: each is written once, by the worker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from automart.background.kinds import PURCHASE_RECORDING
from automart.catalogue import service as catalogue
from automart.catalogue.models import VehicleMake, VehicleModel
from automart.catalogue.plan import plans
from automart.core.db import db, lock_or_404, transaction
from automart.partners.models import RegionalOffice
from automart.partners.service import delete_office, lock_office
from automart.purchases import service
from automart.purchases.models import Purchase
from automart.purchases.service import create_purchase
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.http import assert_problem, at_once
from tests.support.inventory import ids, pointers
from tests.support.purchases import (
    HONDA,
    TOYOTA,
    all_jobs,
    ensure_catalogue,
    make_manufacturer,
    make_office,
    make_purchase,
    sale,
)

SALES = "/v1/sales-webhook"
OWN_BRAND = "Ours"


@pytest.fixture
def office(app: object) -> RegionalOffice:
    ensure_catalogue()
    return make_office()


@pytest.fixture
def client(
    office: RegionalOffice, as_office: Callable[[RegionalOffice], FlaskClient]
) -> FlaskClient:
    return as_office(office)


def job_of(client: FlaskClient, accepted: TestResponse) -> dict[str, Any]:
    """The job that a report was answered with, as it stands now."""
    assert accepted.status_code == 202, accepted.get_data(as_text=True)
    answer: dict[str, Any] = client.get(accepted.get_json()["url"]).get_json()
    return answer


def own_make(as_admin: FlaskClient) -> int:
    """Add a make of our own with one model. Return its id, which is larger than 32 bits."""
    make_id: int = as_admin.post("/v1/makes", json={"name": OWN_BRAND}).get_json()["id"]
    model = {"make_id": make_id, "name": "One"}
    assert as_admin.post("/v1/models", json=model).status_code == 201
    return make_id


@on_postgresql
def test_a_sale_does_not_wait_for_a_sync_of_its_make(
    app: Flask, client: FlaskClient, office: RegionalOffice
) -> None:
    """With a wait, PostgreSQL would refuse the sale after a second."""

    def record() -> Any:
        with app.app_context(), transaction():
            db.session.execute(text("SET LOCAL lock_timeout = '1s'"))
            return create_purchase(office.id, "A-1", HONDA, "Civic")

    with ThreadPoolExecutor(1) as pool, transaction():
        assert plans({HONDA: {}}, approved=False)
        assert pool.submit(record).result()["external_order_number"] == "A-1"


def test_a_sale_becomes_a_purchase(
    client: FlaskClient, office: RegionalOffice, run_jobs: Callable[[], None]
) -> None:
    accepted = client.post(SALES, json=sale("A-1", brand="HONDA", car_model="civic"))
    assert accepted.get_json()["kind"] == "purchase_recording"
    assert accepted.headers["Location"] == accepted.get_json()["url"]
    assert client.get("/v1/purchases").get_json()["items"] == []
    run_jobs()
    job = job_of(client, accepted)
    assert job["state"] == "succeeded"
    purchase = job["result"]
    assert purchase == {
        "id": purchase["id"],
        "regional_office_id": office.id,
        "external_order_number": "A-1",
        "brand": "Honda",
        "car_model": "Civic",
        "state": "ordered",
        "created_at": purchase["created_at"],
        "updated_at": purchase["created_at"],
        "history": [{"state": "ordered", "at": purchase["created_at"]}],
    }
    assert client.get(f"/v1/purchases/{purchase['id']}").get_json() == purchase
    assert client.get("/v1/purchases").get_json()["items"] == [purchase]


@pytest.mark.parametrize("times", [2, 3])
def test_a_sale_that_is_sent_again_is_the_same_purchase(
    client: FlaskClient, run_jobs: Callable[[], None], times: int
) -> None:
    at_once = [client.post(SALES, json=sale()) for _ in range(times)]
    run_jobs()
    later = client.post(SALES, json=sale(brand="hONDA", car_model="CIVIC"))
    run_jobs()
    purchases = [job_of(client, accepted)["result"] for accepted in [*at_once, later]]
    assert [purchase["id"] for purchase in purchases] == [purchases[0]["id"]] * (times + 1)
    assert db.session.query(Purchase).count() == 1


def test_another_car_under_the_same_number_is_a_conflict(
    client: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    first = client.post(SALES, json=sale())
    second = client.post(SALES, json=sale(car_model="Accord"))
    run_jobs()
    assert job_of(client, first)["state"] == "succeeded"
    refused = job_of(client, second)
    assert refused["state"] == "failed"
    assert refused["error"]["status"] == 409
    at_once = client.post(SALES, json=sale(brand="Toyota", car_model="Corolla"))
    problem = assert_problem(at_once, 409)
    assert problem["detail"] == "Order number A-1 belongs to another car: Honda Civic."
    assert problem["purchase_id"] == job_of(client, first)["result"]["id"]
    assert db.session.query(Purchase).count() == 1


def test_two_offices_may_use_the_same_number(
    client: FlaskClient,
    as_office: Callable[[RegionalOffice], FlaskClient],
    run_jobs: Callable[[], None],
) -> None:
    client.post(SALES, json=sale())
    as_office(make_office()).post(SALES, json=sale(car_model="Accord"))
    run_jobs()
    assert {job.state.value for job in all_jobs("purchase_recording")} == {"succeeded"}
    assert db.session.query(Purchase).count() == 2


@on_sqlite
@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"brand": "Yugo"}, "#/brand"),
        ({"car_model": "Corolla"}, "#/car_model"),
        ({"external_order_number": " "}, "#/external_order_number"),
        ({"external_order_number": "x" * 101}, "#/external_order_number"),
        ({"external_order_number": 7}, "#/external_order_number"),
        ({"brand": None}, "#/brand"),
        ({"car_model": "Ci\0vic"}, "#/car_model"),
        ({"regional_office_id": "1"}, "#/regional_office_id"),
        ({"color": "red"}, "#/color"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_accepted(
    client: FlaskClient, values: dict[str, Any], pointer: str
) -> None:
    assert pointers(client.post(SALES, json=sale() | values)) == {pointer}
    assert all_jobs("purchase_recording") == []


def test_an_office_may_name_itself_and_nobody_else(
    client: FlaskClient, office: RegionalOffice
) -> None:
    other = make_office()
    for name in ("regional_office_id", "regional_office"):
        assert client.post(SALES, json=sale(**{name: office.id})).status_code == 202
        refused = assert_problem(client.post(SALES, json=sale(**{name: other.id})), 403)
        assert refused["detail"] == f"This client acts for regional office {office.id}."
        assert client.post(SALES, json=sale(**{name: 4711})).status_code == 403
    both = sale(regional_office_id=office.id, regional_office=other.id)
    errors = assert_problem(client.post(SALES, json=both), 422)["errors"]
    detail = "Differs from regional_office_id."
    assert errors == [{"pointer": "#/regional_office", "detail": detail}]


def test_a_sale_outlives_its_model_in_the_catalogue(
    client: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    accepted = client.post(SALES, json=sale())
    with transaction():
        db.session.query(VehicleModel).delete()
    run_jobs()
    assert job_of(client, accepted)["state"] == "succeeded"
    again = client.post(SALES, json=sale())
    run_jobs()
    assert job_of(client, again)["result"] == job_of(client, accepted)["result"]
    assert client.post(SALES, json=sale("A-2")).status_code == 422


def test_a_sale_is_the_same_when_its_make_was_renamed(
    client: FlaskClient, as_admin: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    accepted = client.post(SALES, json=sale())
    run_jobs()
    as_admin.patch(f"/v1/makes/{HONDA}", json={"name": "Honda Motor"})
    for brand in ("Honda", "honda motor"):
        again = client.post(SALES, json=sale(brand=brand))
        run_jobs()
        purchase = job_of(client, again)["result"]
        assert purchase["id"] == job_of(client, accepted)["result"]["id"]
        assert purchase["brand"] == "Honda Motor"
    assert client.post(SALES, json=sale(brand="Toyota")).status_code == 409
    assert client.post(SALES, json=sale(car_model="Accord")).status_code == 409


def test_a_make_that_goes_before_the_sale_is_written(
    client: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    accepted = client.post(SALES, json=sale())
    with transaction():
        db.session.query(VehicleModel).filter_by(make_id=HONDA).delete()
        db.session.query(VehicleMake).filter_by(id=HONDA).delete()
    run_jobs()
    job = job_of(client, accepted)
    assert job["state"] == "failed"
    assert job["error"]["status"] == 409
    detail = "The office or the make was deleted before the sale was recorded."
    assert job["error"]["detail"] == detail


def test_an_office_stays_until_its_sales_are_written(
    client: FlaskClient, office: RegionalOffice, as_admin: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    path = f"/v1/regional-offices/{office.id}"
    accepted = client.post(SALES, json=sale())
    refused = assert_problem(as_admin.delete(path), 409)
    assert refused["detail"] == f"Regional office {office.id} has sales that are not recorded yet."
    assert as_admin.delete(f"/v1/regional-offices/{make_office().id}").status_code == 204
    with transaction():
        db.session.query(VehicleModel).filter_by(make_id=HONDA).delete()
        db.session.query(VehicleMake).filter_by(id=HONDA).delete()
    run_jobs()
    assert job_of(client, accepted)["state"] == "failed"
    assert as_admin.delete(path).status_code == 204


def test_a_make_stays_until_its_sales_are_written(
    client: FlaskClient, as_admin: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    make_id = own_make(as_admin)
    accepted = client.post(SALES, json=sale(brand=OWN_BRAND, car_model="One"))
    refused = assert_problem(as_admin.delete(f"/v1/makes/{make_id}"), 409)
    assert refused["detail"] == f"Make {make_id} has sales that are not recorded yet."
    assert as_admin.delete(f"/v1/makes/{TOYOTA}").status_code == 204
    run_jobs()
    assert job_of(client, accepted)["result"]["brand"] == OWN_BRAND
    # Now the purchase refers to it.
    assert as_admin.delete(f"/v1/makes/{make_id}").status_code == 409


def test_a_make_whose_sale_failed_can_be_deleted(
    client: FlaskClient, as_admin: FlaskClient, run_jobs: Callable[[], None]
) -> None:
    make_id = own_make(as_admin)
    for brand, car_model in ((OWN_BRAND, "One"), ("Honda", "Civic")):
        sold = client.post(SALES, json=sale("A-1", brand=brand, car_model=car_model))
        assert sold.status_code == 202
    run_jobs()
    # The order number belongs to the first car.
    assert sorted(job.state.value for job in all_jobs(PURCHASE_RECORDING.name)) == [
        "failed",
        "succeeded",
    ]
    assert as_admin.delete(f"/v1/makes/{make_id}").status_code == 409
    assert as_admin.delete(f"/v1/makes/{HONDA}").status_code == 204


def test_a_make_that_is_deleted_during_a_report_is_not_sold(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_model(*args: Any, **kwargs: Any) -> Any:
        found = catalogue.find_model(*args, **kwargs)
        with transaction():
            catalogue.delete_make(lock_or_404(VehicleMake, HONDA, before_delete=True))
        return found

    monkeypatch.setattr(service, "find_model", find_model)
    assert pointers(client.post(SALES, json=sale())) == {"#/brand"}
    assert all_jobs(PURCHASE_RECORDING.name) == []


def test_a_make_is_deleted_or_sold(client: FlaskClient, as_admin: FlaskClient) -> None:
    for number in range(3):
        path = f"/v1/makes/{own_make(as_admin)}"
        order = sale(f"A-{number}", brand=OWN_BRAND, car_model="One")
        db.session.remove()
        reported, deleted = at_once(
            lambda order=order: client.post(SALES, json=order),
            lambda path=path: as_admin.delete(path),
        )
        answers = reported.status_code, deleted.status_code
        assert answers in ((202, 409), (422, 204))
        if deleted.status_code == 409:  # the next one has the same name
            assert as_admin.patch(path, json={"name": f"Sold {number}"}).status_code == 200


@on_postgresql
def test_a_report_does_not_wait_for_a_sync_of_its_make(
    app: Flask, client: FlaskClient, office: RegionalOffice
) -> None:
    with ThreadPoolExecutor(1) as pool, transaction():
        assert plans({HONDA: {}}, approved=False)
        reported = pool.submit(client.post, SALES, json=sale())
        assert reported.result(timeout=5).status_code == 202


def test_an_office_that_is_deleted_during_a_report_has_not_sold(
    client: FlaskClient, office: RegionalOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_model(*args: Any, **kwargs: Any) -> Any:
        found = catalogue.find_model(*args, **kwargs)
        with transaction():
            delete_office(lock_office(office.id, before_delete=True))
        return found

    monkeypatch.setattr(service, "find_model", find_model)
    office_id = office.id
    problem = assert_problem(client.post(SALES, json=sale()), 403)
    assert problem["detail"] == f"Regional office {office_id} has just been deleted."
    assert all_jobs(PURCHASE_RECORDING.name) == []


def test_an_office_is_deleted_or_sells(
    as_admin: FlaskClient, as_office: Callable[[RegionalOffice], FlaskClient]
) -> None:
    ensure_catalogue()
    for _ in range(3):
        office = make_office()
        client, path = as_office(office), f"/v1/regional-offices/{office.id}"
        db.session.remove()
        reported, deleted = at_once(
            lambda client=client: client.post(SALES, json=sale()),
            lambda path=path: as_admin.delete(path),
        )
        answers = reported.status_code, deleted.status_code
        assert answers in ((202, 409), (401, 204), (403, 204))


def test_a_make_with_purchases_is_not_deleted(
    office: RegionalOffice, as_admin: FlaskClient
) -> None:
    make_purchase(office)
    assert as_admin.delete(f"/v1/makes/{HONDA}").status_code == 409


def test_a_report_is_replayed_by_its_key(client: FlaskClient, run_jobs: Callable[[], None]) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = client.post(SALES, json=sale(), headers=key)
    again = client.post(SALES, json=sale(), headers=key)
    assert again.get_json()["id"] == first.get_json()["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(all_jobs("purchase_recording")) == 1


def test_an_acknowledged_sale_is_not_taken_back(client: FlaskClient, as_admin: FlaskClient) -> None:
    job = client.post(SALES, json=sale()).get_json()
    assert client.post(f"/jobs/{job['id']}/cancel").status_code == 409


def test_who_sees_which_purchases(
    as_user: FlaskClient,
    as_office: Callable[[RegionalOffice], FlaskClient],
    as_manufacturer: Callable[..., FlaskClient],
) -> None:
    north, south = make_office(), make_office()
    honda = make_purchase(north).id
    toyota = make_purchase(north, make_id=TOYOTA).id
    of_south = make_purchase(south).id
    office, both = as_office(north), as_manufacturer(make_manufacturer(HONDA, TOYOTA))
    maker, nobody = as_manufacturer(make_manufacturer(HONDA)), as_manufacturer(make_manufacturer())
    everything = [honda, toyota, of_south]
    for viewer, seen in (
        (as_user, everything),
        (office, [honda, toyota]),
        (maker, [honda, of_south]),
        (both, everything),
        (nobody, []),
    ):
        assert ids(viewer.get("/v1/purchases")) == seen
        for purchase_id in everything:
            status = viewer.get(f"/v1/purchases/{purchase_id}").status_code
            assert status == (200 if purchase_id in seen else 404)
    assert ids(both.get("/v1/purchases?brand=toyota")) == [toyota]
    assert ids(maker.get("/v1/purchases?brand=toyota")) == []
    assert ids(as_user.get("/v1/purchases?brand=HONDA&state=ordered")) == [honda, of_south]
    assert ids(as_user.get("/v1/purchases?state=shipped")) == []
    assert as_user.get("/v1/purchases?state=lost").status_code == 422


def test_a_walk_through_several_makes_sees_each_once(
    as_manufacturer: Callable[..., FlaskClient],
) -> None:
    office = make_office()
    makes = [HONDA, TOYOTA, TOYOTA, HONDA, HONDA, TOYOTA, HONDA]
    wanted = [make_purchase(office, make_id=make_id).id for make_id in makes]
    client = as_manufacturer(make_manufacturer(HONDA, TOYOTA))
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/v1/purchases?limit=2{cursor and '&cursor=' + cursor}")
        seen += ids(page)
        cursor = page.get_json()["next_cursor"]
    assert seen == wanted


def test_purchases_are_listed_without_a_query_each(
    as_user: FlaskClient, count_queries: Callable[[], Any]
) -> None:
    office = make_office()
    for _ in range(3):
        make_purchase(office)
    as_user.get("/v1/purchases")
    with count_queries() as few:
        as_user.get("/v1/purchases?limit=1")
    with count_queries() as many:
        as_user.get("/v1/purchases")
    assert many.count == few.count
