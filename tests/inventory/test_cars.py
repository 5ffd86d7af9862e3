"""Cars: fields, the catalogue, lists, deletion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError, StatementError

from automart.catalogue.models import VehicleModel
from automart.core.db import db, transaction
from automart.inventory import service
from automart.inventory.models import BookingStatus, Car, CarStatus
from tests.support.databases import on_sqlite
from tests.support.inventory import (
    HONDA,
    TOYOTA,
    add_catalogue,
    car_body,
    day,
    ids,
    make_booking,
    make_car,
    make_dealer,
    new_vin,
    parameters,
    pointers,
    statements,
    timeless,
    without,
)

READ_ONLY = ("id", "created_at", "updated_at")


@pytest.fixture
def dealer_id(app: Flask) -> int:
    add_catalogue()
    return make_dealer().id


class TestCreating:
    def test_brand_and_model_are_spelled_as_in_the_catalogue(
        self, as_user: FlaskClient, dealer_id: int
    ) -> None:
        body = car_body(dealer_id, brand=" hONDA ", model="CIVIC", vin="wba00000000abcdef")
        created = as_user.post("/v1/cars", json=body)
        assert created.status_code == 201
        car = created.get_json()
        shown = {"brand": "Honda", "model": "Civic", "vin": "WBA00000000ABCDEF"}
        assert car == body | shown | {
            "id": car["id"],
            "status": "available",
            "created_at": car["created_at"],
            "updated_at": car["created_at"],
        }
        assert as_user.get(created.headers["Location"]).get_json() == car

    def test_an_exact_match_is_preferred_if_models_differ_only_in_case(
        self, as_user: FlaskClient, dealer_id: int
    ) -> None:
        with transaction():
            db.session.add(VehicleModel(id=9000, make_id=HONDA, name="CIVIC"))
        for sent, found in (("CIVIC", "CIVIC"), ("Civic", "Civic"), ("civic", "Civic")):
            created = as_user.post("/v1/cars", json=car_body(dealer_id, model=sent))
            assert created.get_json()["model"] == found

    @on_sqlite
    def test_a_brand_that_is_deleted_at_that_moment_is_refused(
        self, as_user: FlaskClient, dealer_id: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = HONDA + 1
        monkeypatch.setattr(service, "find_model", lambda *_: (gone, "Civic"))
        answer = as_user.post("/v1/cars", json=car_body(dealer_id))
        assert pointers(answer) == {"#/brand"}
        assert ids(as_user.get("/v1/cars")) == []

    @on_sqlite
    @pytest.mark.parametrize("method", ["post", "put", "patch"])
    def test_an_invalid_field_of_a_car_is_refused_with_a_pointer(
        self, as_user: FlaskClient, dealer_id: int, method: str
    ) -> None:
        car = make_car()
        url = "/v1/cars" if method == "post" else f"/v1/cars/{car.id}"
        before = as_user.get(f"/v1/cars/{car.id}").get_json()
        wrong: dict[str, tuple[Any, ...]] = {
            "brand": ("Hond", "", 7, None, "a\x00"),
            "model": ("Corolla", "Civi", "", 7, None, "\ud800"),
            "year": (1900, datetime.now(UTC).year + 2, 2024.5, "2024", True, None, 1e30),
            "color": ("", "  ", 7, None, "a\tb"),
            "daily_price": (0, -1, 1e30, "7", True, None, 9.999),
            "vin": ("WBA0000000000000I", "1M8GDM9A1KP042788", "WBA", 7, None),
            "status": ("sold", "AVAILABLE", 1, None),
            "dealer_id": (dealer_id + 99, 0, -1, 2**63, "1", 1.5, True, None),
            "id": (7,),
            "wheels": (4,),
        }
        for field, values in wrong.items():
            for value in values:
                body = car_body(dealer_id, **{field: value})
                sent = {field: value} if method == "patch" else body
                answer = getattr(as_user, method)(url, json=sent)
                assert pointers(answer) == {f"#/{field}"}, (field, value)
        assert ids(as_user.get("/v1/cars")) == [car.id]
        assert as_user.get(f"/v1/cars/{car.id}").get_json() == before

    def test_a_car_can_be_of_1901_or_of_next_year(
        self, as_user: FlaskClient, dealer_id: int
    ) -> None:
        for year in (1901, datetime.now(UTC).year + 1):
            body = car_body(dealer_id, year=year)
            assert as_user.post("/v1/cars", json=body).status_code == 201

    def test_a_vin_is_unique_whatever_its_case(self, as_user: FlaskClient, dealer_id: int) -> None:
        car, other = make_car(vin="WBA00000000ABCDEF"), make_car()
        twice = car_body(dealer_id, vin="wba00000000abcdef")
        for answer in (
            as_user.post("/v1/cars", json=twice),
            as_user.put(f"/v1/cars/{other.id}", json=twice),
            as_user.patch(f"/v1/cars/{other.id}", json={"vin": "wba00000000abcdef"}),
        ):
            assert answer.status_code == 409
            assert answer.get_json()["detail"] == "There is a car with this VIN already."
        assert ids(as_user.get("/v1/cars")) == [car.id, other.id]

    def test_a_repeated_idempotency_key_creates_one_car(
        self, as_user: FlaskClient, dealer_id: int
    ) -> None:
        body, key = car_body(dealer_id), {"Idempotency-Key": "once"}
        first, second = (as_user.post("/v1/cars", json=body, headers=key) for _ in range(2))
        assert first.status_code == second.status_code == 201
        assert first.get_json() == second.get_json()
        assert second.headers["Idempotent-Replayed"] == "true"
        assert len(ids(as_user.get("/v1/cars"))) == 1


class TestChanging:
    def test_a_patch_of_a_car_changes_only_what_is_sent(self, as_user: FlaskClient) -> None:
        url = f"/v1/cars/{make_car().id}"
        before = timeless(as_user.get(url).get_json())
        changes = {"model": "accord", "daily_price": 0.01, "status": "maintenance"}
        shown = {"model": "Accord"}
        assert timeless(as_user.patch(url, json=changes).get_json()) == before | changes | shown
        assert timeless(as_user.patch(url, json={}).get_json()) == before | changes | shown
        assert timeless(as_user.get(url).get_json()) == before | changes | shown

    def test_a_put_replaces_every_writable_field_of_a_car(self, as_user: FlaskClient) -> None:
        car = make_car(status=CarStatus.MAINTENANCE)
        url = f"/v1/cars/{car.id}"
        body = car_body(make_dealer().id, brand="toyota", model="corolla", color="blue")
        created_at = as_user.get(url).get_json()["created_at"]
        shown = {"id": car.id, "brand": "Toyota", "model": "Corolla", "status": "available"}
        shown |= {"created_at": created_at}
        assert timeless(as_user.put(url, json=body).get_json()) == body | shown
        for field in without(body, "status"):
            assert pointers(as_user.put(url, json=without(body, field))) == {f"#/{field}"}
        assert timeless(as_user.get(url).get_json()) == body | shown

    def test_a_new_brand_must_have_the_model(self, as_user: FlaskClient) -> None:
        url = f"/v1/cars/{make_car().id}"
        assert pointers(as_user.patch(url, json={"brand": "Toyota"})) == {"#/model"}
        both = {"brand": "Toyota", "model": "Corolla"}
        assert as_user.patch(url, json=both).get_json().items() >= both.items()

    def test_a_stale_version_of_a_car_is_refused(self, as_user: FlaskClient) -> None:
        car = make_car()
        url = f"/v1/cars/{car.id}"
        body = car_body(car.dealer_id)
        stale = {"If-Match": as_user.get(url).headers["ETag"]}
        fresh = as_user.patch(url, json={"color": "blue"}, headers=stale)
        assert fresh.status_code == 200
        assert as_user.patch(url, json={"color": "green"}, headers=stale).status_code == 412
        assert as_user.put(url, json=body, headers=stale).status_code == 412
        assert as_user.delete(url, headers=stale).status_code == 412
        etag = {"If-None-Match": fresh.headers["ETag"]}
        assert as_user.get(url, headers=etag).status_code == 304

    def test_an_unknown_car_is_not_found(self, as_user: FlaskClient, dealer_id: int) -> None:
        for car_id in (7, 2**63):
            url = f"/v1/cars/{car_id}"
            assert as_user.get(url).status_code == 404
            assert as_user.put(url, json=car_body(dealer_id)).status_code == 404
            assert as_user.patch(url, json={"color": "red"}).status_code == 404
            assert as_user.delete(url).status_code == 404
            assert as_user.get(f"{url}/calendar").status_code == 404


class TestCatalogue:
    def test_a_renamed_make_renames_the_brand(
        self, as_user: FlaskClient, as_admin: FlaskClient
    ) -> None:
        url = f"/v1/cars/{make_car().id}"
        before = as_user.get(url)
        assert as_admin.patch(f"/v1/makes/{HONDA}", json={"name": "Hōnda"}).status_code == 200
        after = as_user.get(url)
        assert after.get_json() == before.get_json() | {"brand": "Hōnda"}
        assert after.headers["ETag"] != before.headers["ETag"]
        assert as_user.get("/v1/cars?brand=HŌNDA").get_json()["items"] == [after.get_json()]

    def test_a_make_with_cars_cannot_be_deleted(
        self, as_user: FlaskClient, as_admin: FlaskClient
    ) -> None:
        car = make_car()
        answer = as_admin.delete(f"/v1/makes/{HONDA}")
        assert answer.status_code == 409
        assert answer.mimetype == "application/problem+json"
        assert as_admin.delete(f"/v1/makes/{TOYOTA}").status_code == 204
        assert as_user.delete(f"/v1/cars/{car.id}").status_code == 204
        assert as_admin.delete(f"/v1/makes/{HONDA}").status_code == 204

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_a_patch_corrects_the_case_of_a_model(self, as_user: FlaskClient, method: str) -> None:
        url = f"/v1/cars/{make_car(model='CIVIC').id}"
        before = as_user.get(url).get_json()
        body = without(before, *READ_ONLY) | {"model": "Civic"}
        assert as_user.open(url, method=method, json=body).get_json()["model"] == "Civic"
        with transaction():
            db.session.add(VehicleModel(id=9000, make_id=HONDA, name="CIVIC"))
        for model in ("CIVIC", "Civic"):
            answer = as_user.open(url, method=method, json=body | {"model": model})
            assert timeless(answer.get_json()) == timeless(before | {"model": model})

    def test_a_car_keeps_a_model_that_is_no_longer_in_the_catalogue(
        self, as_user: FlaskClient
    ) -> None:
        car = make_car()
        url = f"/v1/cars/{car.id}"
        before = as_user.get(url).get_json()
        with transaction():
            db.session.execute(delete(VehicleModel))
        assert as_user.get(url).get_json() == before
        assert as_user.put(url, json=without(before, *READ_ONLY)).get_json() == before
        recased = as_user.patch(url, json={"brand": "HONDA", "model": "CIVIC", "year": 2020})
        assert timeless(recased.get_json()) == timeless(before | {"year": 2020})
        assert pointers(as_user.patch(url, json={"model": "Accord"})) == {"#/model"}
        again = as_user.post("/v1/cars", json=car_body(car.dealer_id))
        assert pointers(again) == {"#/model"}


class TestLists:
    def test_filters_of_cars_compare_whole_values_in_any_case(self, as_user: FlaskClient) -> None:
        civic = make_car()
        accord = make_car(model="Accord", year=2020, status=CarStatus.MAINTENANCE)
        dealer_id = make_dealer().id
        corolla = make_car(make_id=TOYOTA, model="Corolla", dealer_id=dealer_id)
        for query, found in {
            "brand=hONDA": [civic, accord],
            "brand=Hond": [],
            "brand=": [civic, accord, corolla],
            "model=COROLLA": [corolla],
            "brand=honda&model=corolla": [],
            "year=2024": [civic, corolla],
            "status=maintenance": [accord],
            f"dealer_id={dealer_id}": [corolla],
            f"dealer_id={2**63 - 1}": [],
            f"dealer_id={dealer_id}&status=available&year=2024&brand=toyota": [corolla],
        }.items():
            assert ids(as_user.get(f"/v1/cars?{query}")) == [c.id for c in found], query

    @on_sqlite
    @pytest.mark.parametrize(
        ("query", "wrong"),
        [
            ("year=x", "year"),
            ("year=99999999999999999999", "year"),
            ("dealer_id=0", "dealer_id"),
            (f"dealer_id={2**63}", "dealer_id"),
            ("status=sold", "status"),
            ("brand=%00", "brand"),
            ("colour=red", "colour"),
            ("limit=0", "limit"),
            ("cursor=x", "cursor"),
        ],
    )
    def test_a_bad_query_for_cars_is_refused(
        self, as_user: FlaskClient, query: str, wrong: str
    ) -> None:
        assert parameters(as_user.get(f"/v1/cars?{query}")) == {wrong}

    def test_a_filtered_list_of_cars_has_pages(self, as_user: FlaskClient) -> None:
        cars = [make_car().id for _ in range(5)]
        first = as_user.get("/v1/cars?limit=3&brand=honda")
        assert ids(first) == cars[:3]
        next_url = first.headers["Link"].partition("<")[2].partition(">")[0]
        assert ids(as_user.get(next_url)) == cars[3:]

    def test_the_number_of_queries_does_not_grow_with_the_list(self, as_user: FlaskClient) -> None:
        counts = []
        for _ in range(2):
            make_car()
            make_car(make_id=TOYOTA, model="Corolla")
            db.session.expunge_all()
            with statements() as executed:
                as_user.get("/v1/cars")
            counts.append(len(executed))
        assert counts[0] == counts[1]


class TestDeleting:
    def test_a_car_with_a_future_booking_cannot_be_deleted(self, as_user: FlaskClient) -> None:
        car = make_car()
        later, booking = make_booking(car, 7, 8), make_booking(car, 0, 2)
        make_booking(make_car(), 0, 9)
        answer = as_user.delete(f"/v1/cars/{car.id}")
        assert answer.status_code == 409
        assert answer.get_json()["detail"] == (
            f"Car {car.id} cannot be deleted: it is booked from 2090-01-01T00:00:00Z to"
            " 2090-01-03T00:00:00Z."
        )
        assert answer.get_json()["in_the_way"]["booking_id"] == booking.id
        for each in (booking, later):
            assert as_user.delete(f"/v1/bookings/{each.id}").status_code == 204
        assert as_user.delete(f"/v1/cars/{car.id}").status_code == 204

    def test_a_car_is_deleted_from_the_moment_on_at_which_its_booking_ends(
        self, as_user: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        car = make_car()
        make_booking(car, 0, 1)
        now = day(1) - timedelta(microseconds=1)
        monkeypatch.setattr("automart.inventory.service.utcnow", lambda: now)
        assert as_user.delete(f"/v1/cars/{car.id}").status_code == 409
        now = day(1)
        assert as_user.delete(f"/v1/cars/{car.id}").status_code == 204

    def test_past_and_cancelled_bookings_are_kept_without_their_deleted_car(
        self, as_user: FlaskClient
    ) -> None:
        car = make_car()
        past = make_booking(car, -40_000, -39_999)
        cancelled = make_booking(car, 0, 1, status=BookingStatus.CANCELLED)
        before = {b.id: as_user.get(f"/v1/bookings/{b.id}").get_json() for b in (past, cancelled)}
        assert as_user.delete(f"/v1/cars/{car.id}").status_code == 204
        assert as_user.get(f"/v1/cars/{car.id}").status_code == 404
        for ident, booking in before.items():
            assert as_user.get(f"/v1/bookings/{ident}").get_json() == booking | {"car_id": None}
        assert ids(as_user.get("/v1/bookings")) == [past.id, cancelled.id]
        assert ids(as_user.get("/v1/cars")) == []


class TestDatabase:
    @pytest.mark.parametrize(
        "values",
        [
            {"year": 1900},
            {"daily_price": Decimal(0)},
            {"vin": "wba00000000abcdef"},
            {"vin": "WBA"},
            {"status": "sold"},
            {"dealer_id": 99},
            {"make_id": 99},
        ],
        ids=str,
    )
    def test_the_database_refuses_an_invalid_car(self, app: Flask, values: dict[str, Any]) -> None:
        with pytest.raises((IntegrityError, StatementError)):
            make_car(**values)

    def test_a_stored_price_is_exact(self, app: Flask) -> None:
        prices = [Decimal("0.01"), Decimal("19.90"), Decimal("9999999.99")]
        for price in prices:
            make_car(daily_price=price, vin=new_vin())
        db.session.expunge_all()
        stored = db.session.scalars(select(Car.daily_price).order_by(Car.daily_price)).all()
        assert stored == prices
