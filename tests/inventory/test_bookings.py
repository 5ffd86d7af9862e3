"""Bookings: conflicts, customers, moving, cancelling, prices and lists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from automart.core.db import db, read, transaction
from automart.customers.models import Customer
from automart.inventory import new_booking, service
from automart.inventory.models import Booking, BookingStatus, Car, CarStatus, started_days
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem
from tests.support.inventory import (
    booking_body,
    day,
    ids,
    iso,
    make_booking,
    make_car,
    make_customer,
    parameters,
    pointers,
    timeless,
    without,
)
from tests.support.web import at_once

LAST_SECOND = "9999-12-31T23:59:59Z"
DAY_OF_MICROSECONDS = 86_400_000_000


def book(client: FlaskClient, car_id: int, start: float, end: float, **values: Any) -> Any:
    return client.post("/v1/bookings", json=booking_body(car_id, day(start), day(end), **values))


def details(response: Any) -> list[str]:
    """Return the reasons of a body that was refused with 422."""
    return [error["detail"] for error in response.get_json()["errors"]]


class TestBooking:
    def test_a_booking_is_created_and_read(self, as_user: FlaskClient) -> None:
        car = make_car(daily_price=Decimal("19.99"))
        body = booking_body(car.id, "2090-01-01T01:00:00+01:00", "2090-01-03T00:00:01Z")
        created = as_user.post("/api/v1/bookings", json=body)
        assert created.status_code == 201
        booking = created.get_json()
        assert booking == {
            "id": booking["id"],
            "car_id": car.id,
            "customer_id": None,
            "customer_name": "John Doe",
            "customer_email": "john@example.com",
            "start_datetime": "2090-01-01T00:00:00Z",
            "end_datetime": "2090-01-03T00:00:01Z",
            "status": "confirmed",
            "total_price": 59.97,
            "created_at": booking["created_at"],
            "updated_at": booking["created_at"],
        }
        assert created.headers["Location"].endswith(f"/api/v1/bookings/{booking['id']}")
        assert as_user.get(created.headers["Location"]).get_json() == booking

    def test_an_invalid_field_of_a_booking_is_refused_with_a_pointer(
        self, as_user: FlaskClient
    ) -> None:
        car = make_car()
        booking = make_booking(car, 10, 11)
        wrong: dict[str, tuple[Any, ...]] = {
            "car_id": (car.id + 99, 0, 2**63, "1", 1.5, None),
            "customer_id": (99, 0, 2**63, "1", True),
            "customer_name": ("", " ", 7, None, "a\x00b", "x" * 201),
            "customer_email": ("", "john", "a@b", 7, None, "a\x00@example.com"),
            "start_datetime": (
                "2090-01-01T00:00:00",
                "2090-01-01",
                7,
                None,
                "9999-12-31T23:59:59Z",
            ),
            "end_datetime": (iso(day(0)), iso(day(-1)), "0001-01-01T00:00:00+14:00", None),
            "status": ("confirmed",),
            "total_price": (1,),
            "daily_price": (1,),
            "id": (1,),
        }
        for field, values in wrong.items():
            for value in values:
                body = booking_body(car.id, day(0), day(1), **{field: value})
                answer = as_user.post("/v1/bookings", json=body)
                assert pointers(answer) == {f"#/{field}"}, (field, value)
                answer = as_user.patch(f"/v1/bookings/{booking.id}", json={field: value})
                assert pointers(answer) == {f"#/{field}"}, (field, value)
        body = booking_body(car.id, day(0), day(1))
        for field in body:
            answer = as_user.post("/v1/bookings", json=without(body, field))
            assert pointers(answer) == {f"#/{field}"}
            assert details(answer) == ["Missing data for required field."]
        for more in ({}, {"customer_id": None}):
            answer = as_user.post("/v1/bookings", json=body | {"customer_email": None} | more)
            assert pointers(answer) == {"#/customer_email"}
            assert details(answer) == ["Missing data for required field."]
        wrong_fields: dict[str, dict[str, Any]] = {
            f"There is no car {car.id + 99}.": {"car_id": car.id + 99},
            "There is no customer 99.": {"customer_id": 99},
            "Must be after `start_datetime`.": {"end_datetime": iso(day(0))},
        }
        for reason, wrong_field in wrong_fields.items():
            assert details(as_user.post("/v1/bookings", json=body | wrong_field)) == [reason]
            answer = as_user.patch(
                f"/v1/bookings/{booking.id}", json={"start_datetime": iso(day(0))} | wrong_field
            )
            assert details(answer) == [reason]
        assert ids(as_user.get("/v1/bookings")) == [booking.id]

    def test_a_conflict_names_the_range_that_is_booked(self, as_user: FlaskClient) -> None:
        car = make_car()
        earlier, before, later = (make_booking(car, *days) for days in ((-9, -8), (0, 2), (7, 9)))
        moved = f"/v1/bookings/{later.id}"
        for answer in (
            book(as_user, car.id, 1, 3),
            as_user.patch(moved, json={"start_datetime": iso(day(1)), "end_datetime": iso(day(3))}),
        ):
            problem = assert_problem(answer, 409)
            assert problem["detail"] == (
                f"Car {car.id} is booked from 2090-01-01T00:00:00Z to 2090-01-03T00:00:00Z."
            )
            assert problem["in_the_way"] == {
                "booking_id": before.id,
                "start_datetime": "2090-01-01T00:00:00Z",
                "end_datetime": "2090-01-03T00:00:00Z",
            }
        assert ids(as_user.get("/v1/bookings")) == [earlier.id, before.id, later.id]

    def test_only_overlapping_bookings_are_refused(self, as_user: FlaskClient) -> None:
        car, other = make_car(), make_car()
        make_booking(car, 10, 20)
        second = 1 / 86_400
        for start, end in ((10, 20), (9, 11), (19, 21), (12, 13), (5, 25), (20 - second, 20)):
            assert book(as_user, car.id, start, end).status_code == 409, (start, end)
        assert book(as_user, other.id, 10, 20).status_code == 201
        for start, end in ((9, 10), (20, 20 + second), (10 - 40_000, 20 - 40_000)):
            assert book(as_user, car.id, start, end).status_code == 201, (start, end)

    def test_a_free_car_is_booked_without_a_lock_before(self, app: Flask) -> None:
        """A booking that this one statement cannot make is left to a transaction with locks."""
        car, customer, broken = make_car(), make_customer(), make_car(status=CarStatus.MAINTENANCE)
        contact = {"customer_name": "John Doe", "customer_email": None}
        order = {"car_id": car.id, "start_datetime": day(0), "end_datetime": day(1)}
        of_customer = order | {"end_datetime": day(-1), "customer_id": customer.id}
        of_customer["start_datetime"] = day(-2)

        for refused in (
            order,  # without a customer
            order | {"customer_name": "John Doe"},
            order | contact | {"end_datetime": day(0)},
            order | contact | {"car_id": broken.id},
            order | contact | {"car_id": broken.id + 1},
            of_customer | {"customer_id": customer.id + 1},
        ):
            assert new_booking.book_if_free(refused) is None
        complete = order | contact
        booked = new_booking.book_if_free(complete)
        assert booked is not None
        assert (booked.customer_name, booked.customer_id) == ("John Doe", None)
        assert new_booking.book_if_free(complete) is None  # the car is booked already
        booked = new_booking.book_if_free(of_customer)
        assert booked is not None
        assert (booked.customer_name, booked.customer_id) == ("Zoë Doe", customer.id)

    def test_a_car_in_maintenance_cannot_be_booked(self, as_user: FlaskClient) -> None:
        car = make_car(status=CarStatus.MAINTENANCE)
        answer = book(as_user, car.id, 0, 1)
        assert answer.status_code == 409
        assert answer.get_json()["detail"] == f"Car {car.id} is in maintenance."
        as_user.patch(f"/v1/cars/{car.id}", json={"status": "available"})
        assert book(as_user, car.id, 0, 1).status_code == 201

    def test_a_repeated_idempotency_key_creates_one_booking(self, as_user: FlaskClient) -> None:
        body, key = booking_body(make_car().id, day(0), day(1)), {"Idempotency-Key": "once"}
        first, second = (as_user.post("/v1/bookings", json=body, headers=key) for _ in range(2))
        assert first.status_code == second.status_code == 201
        assert first.get_json() == second.get_json()
        other = as_user.post("/v1/bookings", json=body | {"customer_name": "X"}, headers=key)
        assert other.status_code == 422

    def test_a_refused_booking_can_be_repeated_with_its_idempotency_key(
        self, as_user: FlaskClient
    ) -> None:
        car = make_car()
        before = make_booking(car, 0, 1)
        body, key = booking_body(car.id, day(0), day(1)), {"Idempotency-Key": "once"}
        assert as_user.post("/v1/bookings", json=body, headers=key).status_code == 409
        as_user.delete(f"/v1/bookings/{before.id}")
        assert as_user.post("/v1/bookings", json=body, headers=key).status_code == 201


class TestCustomer:
    def test_a_booking_has_name_and_email_of_its_customer(self, as_user: FlaskClient) -> None:
        car, customer = make_car(), make_customer()
        body = without(
            booking_body(car.id, day(0), day(1), customer_id=customer.id),
            *("customer_name", "customer_email"),
        )
        booking = as_user.post("/v1/bookings", json=body).get_json()
        contact = {"customer_name": "Zoë Doe", "customer_email": "zoe@example.com"}
        assert booking.items() >= ({"customer_id": customer.id} | contact).items()

    def test_a_customer_that_is_renamed_at_that_moment_has_the_new_name(
        self, as_user: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        car, customer = make_car(), make_customer()
        body = booking_body(car.id, day(0), day(1), customer_id=customer.id)

        def read_before_the_change(*args: Any, **parameters: Any) -> Any:
            rows = read(*args, **parameters)
            with transaction():
                db.session.get_one(Customer, customer.id).first_name = "Zara"
            return rows

        monkeypatch.setattr(new_booking, "read", read_before_the_change)
        answer = as_user.post("/v1/bookings", json=without(body, "customer_name"))
        assert answer.get_json()["customer_name"] == "Zara Doe"

    def test_a_name_that_is_sent_replaces_that_of_the_customer(self, as_user: FlaskClient) -> None:
        car, customer = make_car(), make_customer(email=None)
        body = booking_body(car.id, day(0), day(1), customer_id=customer.id)
        named = as_user.post("/v1/bookings", json=without(body, "customer_email")).get_json()
        assert (named["customer_name"], named["customer_email"]) == ("John Doe", None)

    def test_a_booking_keeps_name_and_email_of_a_deleted_customer(
        self, as_user: FlaskClient
    ) -> None:
        customer = make_customer()
        booking = make_booking(make_car(), customer_id=customer.id)
        before = as_user.get(f"/v1/bookings/{booking.id}").get_json()
        with transaction():
            db.session.delete(customer)
        after = as_user.get(f"/v1/bookings/{booking.id}").get_json()
        assert after == before | {"customer_id": None}

    def test_the_customer_of_a_booking_is_changed(self, as_user: FlaskClient) -> None:
        customer = make_customer()
        url = f"/v1/bookings/{make_booking(make_car()).id}"
        before = timeless(as_user.get(url).get_json())
        name = {"customer_name": "Jane Doe"}
        assert timeless(as_user.patch(url, json=name).get_json()) == before | name
        linked = as_user.patch(url, json={"customer_id": customer.id}).get_json()
        contact = {"customer_name": "Zoë Doe", "customer_email": "zoe@example.com"}
        assert timeless(linked) == before | contact | {"customer_id": customer.id}
        freed = as_user.patch(url, json={"customer_id": None}).get_json()
        assert timeless(freed) == before | contact

    def test_null_replaces_the_email_of_the_customer(self, as_user: FlaskClient) -> None:
        car, customer = make_car(), make_customer()
        none = {"customer_id": customer.id, "customer_email": None}
        body = without(booking_body(car.id, day(0), day(1)), "customer_name") | none
        answer = as_user.post("/v1/bookings", json=body)
        assert answer.status_code == 201
        assert answer.get_json().items() >= (none | {"customer_name": "Zoë Doe"}).items()

    def test_null_clears_the_email_of_a_booking_with_a_customer(self, as_user: FlaskClient) -> None:
        car, customer = make_car(), make_customer()
        none = {"customer_email": None}
        linked = make_booking(car, 0, 1, customer_id=customer.id)
        for booking, changes in (
            (linked, none),
            (make_booking(car, 1, 2), none | {"customer_id": customer.id}),
        ):
            url, email = f"/v1/bookings/{booking.id}", booking.customer_email
            assert email is not None
            answer = as_user.patch(url, json=changes)
            assert answer.status_code == 200
            assert as_user.get(url).get_json()["customer_email"] is None
            assert booking.id not in ids(as_user.get(f"/v1/bookings?customer_email={email}"))

    def test_a_booking_without_a_customer_keeps_its_email(self, as_user: FlaskClient) -> None:
        car, customer = make_car(), make_customer()
        none = {"customer_email": None}
        linked = make_booking(car, 0, 1, customer_id=customer.id)
        for booking, changes in (
            (make_booking(car, 1, 2), none),
            (linked, none | {"customer_id": None}),
        ):
            url = f"/v1/bookings/{booking.id}"
            before = as_user.get(url).get_json()
            answer = as_user.patch(url, json=changes)
            assert pointers(answer) == {"#/customer_email"}
            assert details(answer) == ["Must not be null in a booking without a `customer_id`."]
            assert as_user.get(url).get_json() == before

    def test_an_email_that_is_null_already_may_be_sent_back(self, as_user: FlaskClient) -> None:
        booking = make_booking(make_car(), customer_email=None)
        url = f"/v1/bookings/{booking.id}"
        changes = {"customer_name": "Jane Doe", "customer_id": None, "customer_email": None}
        answer = as_user.patch(url, json=changes)
        assert answer.status_code == 200
        assert answer.get_json().items() >= changes.items()


class TestMoving:
    def test_a_booking_cannot_be_moved_to_a_range_that_is_booked(
        self, as_user: FlaskClient
    ) -> None:
        car = make_car()
        make_booking(car, 0, 2)
        url = f"/v1/bookings/{make_booking(car, 5, 6).id}"
        for start, end, status in ((1, 3, 409), (2, 4, 200), (3, 5, 200), (-1, 5, 409)):
            changes = {"start_datetime": iso(day(start)), "end_datetime": iso(day(end))}
            assert as_user.patch(url, json=changes).status_code == status, (start, end)
        booking = as_user.get(url).get_json()
        assert (booking["start_datetime"], booking["end_datetime"]) == (iso(day(3)), iso(day(5)))

    def test_a_booking_cannot_end_before_its_stored_start(self, as_user: FlaskClient) -> None:
        url = f"/v1/bookings/{make_booking(make_car(), 5, 6).id}"
        for changes in ({"end_datetime": iso(day(5))}, {"start_datetime": iso(day(6))}):
            assert pointers(as_user.patch(url, json=changes)) == {"#/end_datetime"}

    def test_a_booking_is_moved_to_another_car_at_the_same_price(
        self, as_user: FlaskClient
    ) -> None:
        car, other = make_car(), make_car(daily_price=Decimal(1000))
        booking = make_booking(car, 0, 2)
        url = f"/v1/bookings/{booking.id}"
        moved = as_user.patch(url, json={"car_id": other.id})
        assert moved.get_json()["car_id"] == other.id
        assert moved.get_json()["total_price"] == 99.8
        assert book(as_user, other.id, 1, 2).status_code == 409
        make_booking(car, 1, 2)
        assert as_user.patch(url, json={"car_id": car.id}).status_code == 409

    def test_a_booking_of_a_car_in_maintenance_cannot_be_moved(self, as_user: FlaskClient) -> None:
        car = make_car()
        url = f"/v1/bookings/{make_booking(car, 0, 1).id}"
        as_user.patch(f"/v1/cars/{car.id}", json={"status": "maintenance"})
        assert as_user.patch(url, json={"end_datetime": iso(day(2))}).status_code == 409
        same = {"end_datetime": iso(day(1)), "customer_name": "Jane"}
        assert as_user.patch(url, json=same).get_json()["customer_name"] == "Jane"
        assert as_user.delete(url).status_code == 204

    def test_a_booking_of_a_deleted_car_can_only_be_moved_to_another_car(
        self, as_user: FlaskClient
    ) -> None:
        car = make_car()
        url = f"/v1/bookings/{make_booking(car, -40_000, -39_999).id}"
        assert as_user.delete(f"/v1/cars/{car.id}").status_code == 204
        refused = assert_problem(as_user.patch(url, json={"end_datetime": iso(day(2))}), 409)
        assert refused["detail"].endswith(" cannot be moved: its car was deleted.")
        assert as_user.patch(url, json={"customer_name": "Jane"}).status_code == 200
        assert as_user.patch(url, json={"car_id": make_car().id}).status_code == 200

    @pytest.mark.parametrize(
        ("method", "changes"), [("DELETE", None), ("PATCH", {"end_datetime": iso(day(2))})]
    )
    def test_a_booking_that_is_moved_concurrently_is_locked_with_its_new_car(
        self, as_user: FlaskClient, monkeypatch: pytest.MonkeyPatch, method: str, changes: Any
    ) -> None:
        if db.engine.dialect.name == "sqlite":
            pytest.skip("SQLite has one writer at a time: bookings are not moved concurrently.")
        other, car = make_car(), make_car()
        booking = make_booking(car, 0, 1)
        lock_car, locked = service._lock_car, list[int]()

        def lock_after_a_move(car_id: int) -> Car | None:
            with db.engine.begin() as connection:
                if not locked:
                    move = update(Booking).where(Booking.id == booking.id)
                    connection.execute(move.values(car_id=other.id))
                free = select(Car.id).where(Car.id.in_(locked)).with_for_update(nowait=True)
                connection.execute(free)
            locked.append(car_id)
            return lock_car(car_id)

        monkeypatch.setattr(service, "_lock_car", lock_after_a_move)
        answer = as_user.open(f"/v1/bookings/{booking.id}", method=method, json=changes)
        assert answer.status_code in (200, 204), answer.get_json()
        assert locked == [car.id, other.id]
        after = as_user.get(f"/v1/bookings/{booking.id}").get_json()
        assert after["car_id"] == other.id
        assert after["status"] == ("cancelled" if method == "DELETE" else "confirmed")

    @on_sqlite
    def test_cars_are_locked_in_the_order_of_their_ids(
        self, as_user: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = make_car(), make_car()
        url = f"/v1/bookings/{make_booking(second).id}"
        lock_car, locked = service._lock_car, list[int]()
        monkeypatch.setattr(service, "_lock_car", lambda i: (locked.append(i), lock_car(i))[1])
        assert as_user.patch(url, json={"car_id": first.id}).status_code == 200
        assert locked == [first.id, second.id]
        assert as_user.patch(url, json={"customer_name": "Jane"}).status_code == 200
        assert locked[2:] == [first.id]

    @on_sqlite
    def test_a_booking_that_gets_another_car_each_time_is_unavailable_for_a_second(
        self, as_user: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        booking = make_booking(make_car())
        url = f"/v1/bookings/{booking.id}"
        attempt, attempts = service._try_to_lock_booking, list[int]()

        def fail(failures: int) -> None:
            def lock(booking_id: int, changes: Any) -> Booking | None:
                attempts.append(booking_id)
                return None if len(attempts) <= failures else attempt(booking_id, changes)

            attempts.clear()
            monkeypatch.setattr(service, "_try_to_lock_booking", lock)

        fail(4)
        assert as_user.patch(url, json={"customer_name": "Jane"}).status_code == 200
        fail(5)
        answer = as_user.delete(url)
        problem = assert_problem(answer, 503)
        assert problem["detail"] == f"Booking {booking.id} is being moved from car to car."
        assert answer.headers["Retry-After"] == "1"
        assert attempts == [booking.id] * 5

    def test_a_stale_version_of_a_booking_is_refused(self, as_user: FlaskClient) -> None:
        url = f"/v1/bookings/{make_booking(make_car()).id}"
        stale = {"If-Match": as_user.get(url).headers["ETag"]}
        changes = {"customer_name": "Jane"}
        assert as_user.patch(url, json=changes, headers=stale).status_code == 200
        assert as_user.patch(url, json=changes, headers=stale).status_code == 412
        assert as_user.delete(url, headers=stale).status_code == 412

    def test_an_unknown_booking_is_not_found(self, as_user: FlaskClient) -> None:
        for booking_id in (7, 2**63):
            url = f"/v1/bookings/{booking_id}"
            assert as_user.get(url).status_code == 404
            assert as_user.delete(url).status_code == 404
            refused = assert_problem(as_user.patch(url, json={"customer_id": 99}), 404)
            assert (refused["detail"] == "There is no booking 7.") == (booking_id == 7)


class TestCancelling:
    def test_a_cancelled_booking_frees_its_range_and_can_be_read(
        self, as_user: FlaskClient
    ) -> None:
        car = make_car()
        url = f"/v1/bookings/{make_booking(car, 0, 2).id}"
        before = timeless(as_user.get(url).get_json())
        for _ in range(2):
            assert as_user.delete(url).status_code == 204
            assert timeless(as_user.get(url).get_json()) == before | {"status": "cancelled"}
        assert book(as_user, car.id, 0, 2).status_code == 201

    def test_a_cancelled_booking_cannot_be_changed(self, as_user: FlaskClient) -> None:
        booking = make_booking(make_car(), status=BookingStatus.CANCELLED)
        url = f"/v1/bookings/{booking.id}"
        for changes in ({"customer_name": "Jane"}, {"end_datetime": iso(day(9))}):
            refused = assert_problem(as_user.patch(url, json=changes), 409)
            assert refused["detail"] == f"Booking {booking.id} is cancelled."
        assert as_user.patch(url, json={}).status_code == 200


class TestPrice:
    @given(st.integers(1, 10**9 - 1), st.integers(1, 3_000_000 * DAY_OF_MICROSECONDS))
    def test_the_total_is_exact_for_every_price_and_duration(
        self, cents: int, microseconds: int
    ) -> None:
        start = datetime(1, 1, 2, tzinfo=UTC)
        booking = Booking(
            daily_price=Decimal(cents).scaleb(-2),
            start_datetime=start,
            end_datetime=start + timedelta(microseconds=microseconds),
        )
        booking.set_price()
        days = -(-microseconds // DAY_OF_MICROSECONDS)
        assert booking.total_price * 100 == cents * days

    @pytest.mark.parametrize(
        ("hours", "days"), [(1 / 3600, 1), (24, 1), (24 + 1 / 3600, 2), (48, 2), (47, 2)]
    )
    def test_each_started_period_of_24_hours_is_charged(self, hours: float, days: int) -> None:
        assert started_days(day(0), day(hours / 24)) == days

    def test_a_new_price_of_a_car_does_not_change_its_bookings(self, as_user: FlaskClient) -> None:
        car = make_car(daily_price=Decimal("10.01"))
        booking = book(as_user, car.id, 0, 2).get_json()
        as_user.patch(f"/v1/cars/{car.id}", json={"daily_price": 500})
        url = f"/v1/bookings/{booking['id']}"
        assert as_user.get(url).get_json() == booking
        moved = as_user.patch(url, json={"end_datetime": iso(day(3))}).get_json()
        assert moved["total_price"] == 30.03
        assert book(as_user, car.id, 5, 6).get_json()["total_price"] == 500

    def test_the_highest_total_is_exact_to_the_cent(self, as_user: FlaskClient) -> None:
        car = make_car(daily_price=Decimal("9999999.99"))
        body = booking_body(car.id, "0001-01-02T00:00:00Z", "9999-12-30T23:59:59.999999Z")
        answer = as_user.post("/v1/bookings", json=body)
        assert answer.status_code == 201
        assert '"total_price":36520569963479.43' in answer.get_data(as_text=True).replace(" ", "")


class TestLists:
    def test_bookings_are_filtered(self, as_user: FlaskClient) -> None:
        car, other, customer = make_car(), make_car(), make_customer()
        first = make_booking(car, 0, 2, customer_id=customer.id)
        second = make_booking(car, 2, 4, customer_email="Zoë@Example.com")
        third = make_booking(other, 3, 5, status=BookingStatus.CANCELLED)
        for query, found in {
            f"car_id={car.id}": [first, second],
            "car_id=999": [],
            f"customer_id={customer.id}": [first],
            f"customer_id={customer.id}&car_id={other.id}": [],
            "customer_id=999": [],
            "customer_email=zoË@eXample.com": [second],
            "customer_email=example.com": [],
            "status=cancelled": [third],
            f"start_datetime={iso(day(2))}": [second, third],
            f"end_datetime={iso(day(2))}": [first],
            f"start_datetime={iso(day(1))}&end_datetime={iso(day(3))}": [first, second],
            f"start_datetime={iso(day(3))}&status=confirmed&car_id={car.id}": [second],
            "start_datetime=2089-12-31T23:00:00-01:00&end_datetime=2090-01-01T00:00:01Z": [first],
        }.items():
            assert ids(as_user.get(f"/v1/bookings?{query}")) == [b.id for b in found], query

    def test_a_booking_is_found_by_its_email_address_in_any_case(
        self, as_user: FlaskClient
    ) -> None:
        car = make_car()
        booked = [
            book(as_user, car.id, start, start + 1, customer_email=email).get_json()["id"]
            for start, email in enumerate(("Zoë@Example.com", "john@example.com"))
        ]
        query = "/v1/bookings?customer_email=zoË@eXample.com"
        assert ids(as_user.get(query)) == booked[:1]
        as_user.patch(f"/v1/bookings/{booked[1]}", json={"customer_email": "ZOË@example.com"})
        assert ids(as_user.get(query)) == booked

    @on_sqlite
    @pytest.mark.parametrize(
        ("query", "wrong"),
        [
            ("start_datetime=2090-01-02T00:00:00", "start_datetime"),
            (
                "start_datetime=2090-01-02T00:00:00Z&end_datetime=2090-01-01T00:00:00Z",
                "end_datetime",
            ),
            (
                "start_datetime=2090-01-02T00:00:00Z&end_datetime=2090-01-02T00:00:00Z",
                "end_datetime",
            ),
            ("end_datetime=0001-01-01T00:00:00%2B14:00", "end_datetime"),
            ("customer_email=%00", "customer_email"),
            ("car_id=1x", "car_id"),
            ("status=gone", "status"),
            ("customer_name=x", "customer_name"),
        ],
    )
    def test_a_bad_query_for_bookings_is_refused(
        self, as_user: FlaskClient, query: str, wrong: str
    ) -> None:
        answer = as_user.get(f"/v1/bookings?{query}")
        assert parameters(answer) == {wrong}
        if "end_datetime=2090" in query:
            assert details(answer) == ["Must be after `start_datetime`."]


def test_a_booking_that_many_move_at_once_makes_them_wait(app: Flask, as_user: FlaskClient) -> None:
    cars = [make_car(), make_car()]
    booking = make_booking(cars[0], 1, 2)
    header = {"Authorization": as_user.environ_base["HTTP_AUTHORIZATION"]}

    def move(number: int) -> Callable[[], int]:
        body = {"car_id": cars[number % 2].id}
        url = f"/v1/bookings/{booking.id}"
        return lambda: app.test_client().patch(url, json=body, headers=header).status_code

    assert set(at_once([move(number) for number in range(16)])) == {200}


def test_filters_by_status_ignore_case(as_user: FlaskClient) -> None:
    make_booking(make_car(), 1, 2)
    for status in ("confirmed", "CONFIRMED", "Confirmed"):
        assert len(as_user.get(f"/v1/bookings?status={status}").get_json()["items"]) == 1
    assert_problem(as_user.get("/v1/bookings?status=unknown"), 422)
