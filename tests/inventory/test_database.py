"""The database itself rejects double bookings and invalid rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError

from automart.core.db import db, transaction
from automart.core.integrity_errors import explain_violation
from automart.inventory import service
from automart.inventory.models import Booking, BookingStatus
from tests.support.inventory import booking_body, day, make_booking, make_car

CANCELLED = BookingStatus.CANCELLED


def problem_of_update(**values: Any) -> str | None:
    """Update the last booking. Return the problem if the database rejects it."""
    last = text("SELECT max(id) FROM booking")
    ident = db.session.scalar(last)
    db.session.rollback()
    try:
        with transaction():
            db.session.execute(update(Booking).where(Booking.id == ident).values(**values))
    except IntegrityError as error:
        explanation = explain_violation(error)
        assert explanation is not None
        return explanation.detail
    return None


DOUBLE_BOOKING = "The car is booked within these dates."


class TestDoubleBookings:
    def test_the_insert_of_an_overlapping_booking_is_rejected(self, app: Flask) -> None:
        car, other = make_car(), make_car()
        make_booking(car, 10, 20)
        for start, end in ((10, 20), (9, 11), (19, 21), (12, 13), (5, 25)):
            with pytest.raises(IntegrityError) as error:
                make_booking(car, start, end)
            explanation = explain_violation(error.value)
            assert explanation is not None
            assert explanation.detail == DOUBLE_BOOKING
            make_booking(car, start, end, status=CANCELLED)
        for start, end in ((9, 10), (20, 21), (0, 9), (21, 22)):
            make_booking(car, start, end)
        make_booking(other, 10, 20)

    def test_an_update_to_an_overlapping_range_is_rejected(self, app: Flask) -> None:
        car, other = make_car(), make_car()
        make_booking(car, 0, 10)
        make_booking(car, 10, 20)
        assert problem_of_update(start_datetime=day(9)) == DOUBLE_BOOKING
        assert problem_of_update(start_datetime=day(5), end_datetime=day(6)) == DOUBLE_BOOKING
        assert problem_of_update(start_datetime=day(11)) is None
        assert problem_of_update(end_datetime=day(30)) is None
        make_booking(other, 5, 6)
        assert problem_of_update(car_id=car.id) == DOUBLE_BOOKING
        make_booking(car, 5, 6, status=CANCELLED)
        assert problem_of_update(status=BookingStatus.CONFIRMED) == DOUBLE_BOOKING
        assert problem_of_update(customer_name="Jane") is None

    def test_a_rejected_booking_is_a_conflict_without_a_check_before(
        self, as_user: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        car = make_car()
        make_booking(car, 0, 2)
        monkeypatch.setattr(service, "check_available", lambda *_args, **_kwargs: None)
        answer = as_user.post("/v1/bookings", json=booking_body(car.id, day(1), day(3)))
        assert answer.status_code == 409
        assert answer.get_json()["detail"] == DOUBLE_BOOKING

    @pytest.mark.parametrize(
        "values",
        [
            {"end_datetime": day(0)},
            {"end_datetime": day(-1)},
            {"daily_price": Decimal(0)},
            {"car_id": 99},
            {"customer_id": 99},
        ],
        ids=str,
    )
    def test_an_invalid_booking_is_rejected(self, app: Flask, values: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError):
            make_booking(make_car(), **values)


def test_cars_of_before_0007_have_the_time_of_the_migration(
    app: Flask, as_user: FlaskClient
) -> None:
    booking = make_booking(make_car())
    flask_migrate.downgrade(revision="0006")
    flask_migrate.upgrade()
    car = as_user.get(f"/v1/cars/{booking.car_id}").get_json()
    assert car["created_at"] == car["updated_at"] is not None
    assert as_user.get(f"/v1/bookings/{booking.id}").get_json()["car_id"] == car["id"]
