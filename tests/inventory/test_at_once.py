"""64 concurrent callers and four processes: one books the car, and all get a response."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from flask import Flask
from sqlalchemy import func, select

from automart.accounts.models import User
from automart.core.config import Settings
from automart.core.db import db
from automart.inventory.models import Booking
from tests.support.inventory import booking_body, day, iso, make_booking, make_car
from tests.support.people import make_user, token_of
from tests.support.web import Callers, web_running

pytestmark = pytest.mark.processes

CALLERS = 64
ROUNDS = int(os.environ.get("ROUNDS", "1"))


@pytest.fixture
def callers(app: Flask, settings: Settings) -> Iterator[Callers]:
    user: User = make_user()
    token = token_of(app, user)
    with web_running(settings) as url, Callers(url, token, CALLERS) as callers:
        yield callers


def test_one_of_64_concurrent_callers_books_the_car_and_all_get_a_response(
    callers: Callers,
) -> None:
    for _ in range(ROUNDS):
        book_the_same_time(callers)
        move_into_the_same_gap(callers)
        book_while_the_car_goes_into_maintenance(callers)
        swap_cars(callers)


def statuses(answers: list[requests.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def overlapping(number: int) -> tuple[float, float]:
    """Return a range that contains day 100. It differs for each number."""
    return 99 - number / CALLERS, 101 + (number * 7 % CALLERS) / CALLERS


def book_the_same_time(callers: Callers) -> None:
    """One booking is confirmed, all others are conflicts."""
    car = make_car()
    answers = callers.send(
        *(
            ("POST", "/v1/bookings", booking_body(car.id, day(start), day(end)))
            for start, end in map(overlapping, range(CALLERS))
        )
    )
    assert statuses(answers) == {201: 1, 409: CALLERS - 1}
    assert bookings_of(car.id) == [a.json()["id"] for a in answers if a.status_code == 201]


def move_into_the_same_gap(callers: Callers) -> None:
    """One booking is moved, all others keep their range."""
    car = make_car()
    bookings = [make_booking(car, n * 2 + 200, n * 2 + 201).id for n in range(CALLERS)]
    answers = callers.send(
        *(
            ("PATCH", f"/v1/bookings/{booking}", moved(*overlapping(number)))
            for number, booking in enumerate(bookings)
        )
    )
    assert statuses(answers) == {200: 1, 409: CALLERS - 1}
    assert bookings_of(car.id) == bookings


def book_while_the_car_goes_into_maintenance(callers: Callers) -> None:
    """Only bookings from before the change of the status are confirmed."""
    car = make_car()
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/v1/bookings", booking_body(car.id, day(n), day(n + 1))) for n in range(CALLERS)
    ]
    asked[CALLERS // 4] = ("PATCH", f"/v1/cars/{car.id}", {"status": "maintenance"})
    answers = callers.send(*asked)
    maintenance = answers.pop(CALLERS // 4)
    assert maintenance.status_code == 200
    assert set(statuses(answers)) <= {201, 409}
    confirmed = [a.json()["id"] for a in answers if a.status_code == 201]
    assert bookings_of(car.id) == sorted(confirmed)
    after = ("POST", "/v1/bookings", booking_body(car.id, day(500), day(501)))
    assert statuses(callers.send(*[after] * 8)) == {409: 8}


def swap_cars(callers: Callers) -> None:
    """The bookings of two cars change places without a deadlock."""
    cars = [make_car(), make_car()]
    bookings = [make_booking(cars[n % 2], n * 2, n * 2 + 1) for n in range(CALLERS)]
    answers = callers.send(
        *(
            ("PATCH", f"/v1/bookings/{b.id}", {"car_id": cars[(n + 1) % 2].id})
            for n, b in enumerate(bookings)
        )
    )
    assert statuses(answers) == {200: CALLERS}


def bookings_of(car_id: int) -> list[int]:
    """Return the confirmed bookings, and check that no two of them overlap."""
    db.session.rollback()
    of_car = (Booking.car_id == car_id, Booking.status == "confirmed")
    other = Booking.__table__.alias()
    overlaps = (
        select(func.count())
        .select_from(Booking)
        .join(other, other.c.car_id == Booking.car_id)
        .where(*of_car, other.c.status == "confirmed", other.c.id > Booking.id)
        .where(other.c.start_datetime < Booking.end_datetime)
        .where(other.c.end_datetime > Booking.start_datetime)
    )
    assert db.session.scalar(overlaps) == 0
    return list(db.session.scalars(select(Booking.id).where(*of_car).order_by(Booking.id)))


def moved(start: float, end: float) -> dict[str, str]:
    return {"start_datetime": iso(day(start)), "end_datetime": iso(day(end))}
