"""Ranges of bookings: offsets, clock changes, the ends of years."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.databases import on_sqlite
from tests.support.inventory import booking_body, ids, make_car


def book(client: FlaskClient, car_id: int, start: str, end: str) -> int:
    answer = client.post("/v1/bookings", json=booking_body(car_id, start, end))
    return answer.status_code


BACK_TO_BACK = {
    "one second": (
        ("2090-01-01T00:00:00Z", "2090-01-01T00:00:01Z"),
        ("2090-01-01T00:00:01Z", "2090-01-01T00:00:02Z"),
    ),
    "one microsecond": (
        ("2090-01-01T00:00:00Z", "2090-01-01T00:00:00.000001Z"),
        ("2090-01-01T00:00:00.000001Z", "2090-01-01T00:00:00.000002Z"),
    ),
    "other offsets": (
        ("2090-01-01T05:30:00+05:30", "2090-01-01T05:30:00+04:30"),
        ("2089-12-31T13:00:00-12:00", "2090-01-01T16:00:00+14:00"),
    ),
    "the end of a year": (
        ("2089-12-31T00:00:00Z", "2090-01-01T00:00:00Z"),
        ("2090-01-01T00:00:00Z", "2090-01-02T00:00:00Z"),
    ),
    "the end of a year elsewhere": (
        ("2089-12-30T00:00:00Z", "2089-12-31T20:00:00-04:00"),
        ("2090-01-01T00:00:00Z", "2090-01-02T00:00:00Z"),
    ),
    "a leap day": (
        ("2088-02-28T00:00:00Z", "2088-02-29T00:00:00Z"),
        ("2088-02-29T00:00:00Z", "2088-03-01T00:00:00Z"),
    ),
    "the hour that Munich skips": (
        ("2026-03-29T00:00:00+01:00", "2026-03-29T03:00:00+02:00"),
        ("2026-03-29T02:00:00+01:00", "2026-03-30T00:00:00+02:00"),
    ),
    "the hour that Munich has twice": (
        ("2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"),
        ("2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"),
    ),
    "the hour that New York skips": (
        ("2026-03-08T00:00:00-05:00", "2026-03-08T03:00:00-04:00"),
        ("2026-03-08T02:00:00-05:00", "2026-03-09T00:00:00-04:00"),
    ),
    "the hour that New York has twice": (
        ("2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00"),
        ("2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"),
    ),
}


def test_a_booking_may_start_when_another_ends_but_not_overlap_it(as_user: FlaskClient) -> None:
    for name, (first, second) in BACK_TO_BACK.items():
        car_id = make_car().id
        assert book(as_user, car_id, *first) == 201, name
        assert book(as_user, car_id, *first) == 409, name
        assert book(as_user, car_id, *second) == 201, name
        assert book(as_user, car_id, *second) == 409, name
        assert book(as_user, car_id, first[0], second[1]) == 409, name


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        # Days of 23 and of 25 hours: elapsed time is charged, not calendar days.
        ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00", 1),
        ("2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00", 1),
        ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00", 2),
        ("2026-03-08T00:00:00-05:00", "2026-03-09T00:00:00-04:00", 1),
        ("2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00", 2),
    ],
)
def test_a_day_is_charged_as_24_hours_whatever_clocks_show(
    as_user: FlaskClient, start: str, end: str, days: int
) -> None:
    car = make_car()
    answer = as_user.post("/v1/bookings", json=booking_body(car.id, start, end))
    assert answer.get_json()["total_price"] == float(car.daily_price * days)


@on_sqlite
@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2090-01-02T00:00:00Z", "2090-01-01T00:00:00Z"),
        ("2090-01-01T00:00:00Z", "2090-01-01T00:00:00Z"),
        ("2090-01-01T00:00:00Z", "2090-01-01T05:30:00+05:30"),
        ("2090-01-01T00:00:00", "2090-01-02T00:00:00Z"),
        ("2090-01-01T00:00:00Z", "2090-01-02T00:00:00"),
    ],
)
def test_ranges_that_are_reversed_empty_or_without_offset_are_refused(
    as_user: FlaskClient, start: str, end: str
) -> None:
    car_id = make_car().id
    assert book(as_user, car_id, start, end) == 422
    times = {"start_datetime": start, "end_datetime": end}
    assert as_user.get("/v1/bookings", query_string=times).status_code == 422
    assert as_user.get("/v1/bookings/available-cars", query_string=times).status_code == 422
    calendar = as_user.get(f"/v1/cars/{car_id}/calendar", query_string={"from": start, "to": end})
    assert calendar.status_code == 422


def test_the_first_and_the_last_instant_can_be_booked_and_queried(as_user: FlaskClient) -> None:
    car, other = make_car(), make_car()
    first, last = "0001-01-02T00:00:00Z", "9999-12-30T23:59:59.999999Z"
    assert book(as_user, car.id, first, last) == 201
    times = {"start_datetime": first, "end_datetime": last}
    assert len(ids(as_user.get("/v1/bookings", query_string=times))) == 1
    free = as_user.get("/v1/bookings/available-cars", query_string=times)
    assert ids(free) == [other.id]
    calendar = as_user.get(f"/v1/cars/{car.id}/calendar?from={first}").get_json()
    assert calendar["busy"][0]["start"] == first
    beyond = as_user.get(f"/v1/cars/{car.id}/calendar?from=9999-12-30T00:00:00Z")
    assert beyond.get_json()["busy"][0]["end"] == last
