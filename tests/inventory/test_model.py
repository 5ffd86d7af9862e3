"""Random sequences of requests have the same results as a simple model."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from typing import Any

import hypothesis.strategies as st
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete

from automart.core.db import db, transaction
from automart.inventory.models import Booking, Car
from tests.support.inventory import booking_body, iso, make_car

EXAMPLES = int(os.environ.get("EXAMPLES", "4"))
CARS = 3

# Few instants, so that ranges meet, overlap and enclose each other, around clock changes in Europe
# and America and the end of a year. Each is sent with a random offset.
INSTANTS = [
    datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 0, 1, tzinfo=UTC),
    datetime(2026, 11, 1, 5, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2089, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2090, 1, 1, tzinfo=UTC),
    datetime(2090, 1, 2, 12, tzinfo=UTC),
]
OFFSETS = st.integers(-12 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))
TIMES = st.builds(datetime.astimezone, st.sampled_from(INSTANTS), OFFSETS)
RANGES = st.tuples(TIMES, TIMES).filter(lambda r: r[0] < r[1])
CAR = st.integers(0, CARS - 1)


@dataclass
class Booked:
    car: int
    start: datetime
    end: datetime
    is_confirmed: bool = True

    def overlaps(self, car: int, start: datetime, end: datetime) -> bool:
        return self.is_confirmed and self.car == car and self.start < end and start < self.end


@dataclass
class Model:
    in_maintenance: set[int] = field(default_factory=set)
    bookings: dict[int, Booked] = field(default_factory=dict)

    def is_available(
        self, car: int, start: datetime, end: datetime, moved: int | None = None
    ) -> bool:
        others = [booked for ident, booked in self.bookings.items() if ident != moved]
        is_free = not any(booked.overlaps(car, start, end) for booked in others)
        return is_free and car not in self.in_maintenance


class Inventory(RuleBasedStateMachine):
    bookings: Bundle[int] = Bundle("bookings")
    client: FlaskClient

    @initialize()
    def begin(self) -> None:
        with transaction():
            db.session.execute(delete(Booking))
            db.session.execute(delete(Car))
        self.model = Model()
        self.cars = [make_car().id for _ in range(CARS)]

    @rule(target=bookings, car=CAR, times=RANGES)
    def book(self, car: int, times: tuple[datetime, datetime]) -> Any:
        body = booking_body(self.cars[car], *(time.isoformat() for time in times))
        answer = self.client.post("/v1/bookings", json=body)
        if not self.model.is_available(car, *times):
            assert answer.status_code == 409
            return multiple()
        assert answer.status_code == 201
        ident: int = answer.get_json()["id"]
        self.model.bookings[ident] = Booked(car, *times)
        return ident

    @rule(ident=bookings, car=CAR, times=RANGES)
    def move(self, ident: int, car: int, times: tuple[datetime, datetime]) -> None:
        booked = self.model.bookings[ident]
        start, end = (time.isoformat() for time in times)
        changes = {"car_id": self.cars[car], "start_datetime": start, "end_datetime": end}
        answer = self.client.patch(f"/v1/bookings/{ident}", json=changes)
        is_moved = (booked.car, booked.start, booked.end) != (car, *times)
        if not booked.is_confirmed or (
            is_moved and not self.model.is_available(car, *times, moved=ident)
        ):
            assert answer.status_code == 409
            return
        assert answer.status_code == 200
        self.model.bookings[ident] = Booked(car, *times)

    @rule(ident=bookings)
    def cancel(self, ident: int) -> None:
        assert self.client.delete(f"/v1/bookings/{ident}").status_code == 204
        self.model.bookings[ident].is_confirmed = False

    @rule(car=CAR, status=st.sampled_from(["available", "maintenance"]))
    def set_status(self, car: int, status: str) -> None:
        url = f"/v1/cars/{self.cars[car]}"
        assert self.client.patch(url, json={"status": status}).status_code == 200
        (self.model.in_maintenance.add if status == "maintenance" else self._release)(car)

    def _release(self, car: int) -> None:
        self.model.in_maintenance.discard(car)

    @rule(times=RANGES)
    def list_available_cars(self, times: tuple[datetime, datetime]) -> None:
        start, end = (time.isoformat() for time in times)
        query = {"start_datetime": start, "end_datetime": end}
        answer = self.client.get("/v1/bookings/available-cars", query_string=query)
        found = [car["id"] for car in answer.get_json()["items"]]
        assert found == [self.cars[c] for c in range(CARS) if self.model.is_available(c, *times)]

    @rule(car=CAR, times=RANGES)
    def get_calendar(self, car: int, times: tuple[datetime, datetime]) -> None:
        start, end = times
        url = f"/v1/cars/{self.cars[car]}/calendar"
        query = {"from": start.isoformat(), "to": end.isoformat()}
        found = self.client.get(url, query_string=query).get_json()
        busy = sorted(
            (max(b.start, start), min(b.end, end), ident)
            for ident, b in self.model.bookings.items()
            if b.overlaps(car, start, end)
        )
        assert found["busy"] == [
            {"start": utc(s), "end": utc(e), "booking_id": ident} for s, e, ident in busy
        ]
        edges = [start, *(edge for s, e, _ in busy for edge in (s, e)), end]
        gaps = zip(edges[::2], edges[1::2], strict=True)
        assert found["free"] == [{"start": utc(s), "end": utc(e)} for s, e in gaps if s < e]

    @invariant()
    def no_two_overlap(self) -> None:
        if not hasattr(self, "model"):
            return
        items = self.client.get("/v1/bookings?status=confirmed&limit=100").get_json()["items"]
        expected = {i: b for i, b in self.model.bookings.items() if b.is_confirmed}
        assert [item["id"] for item in items] == sorted(expected)
        for item in items:
            booked = expected[item["id"]]
            expected_item = (self.cars[booked.car], utc(booked.start), utc(booked.end))
            assert (item["car_id"], item["start_datetime"], item["end_datetime"]) == expected_item
        for one, other in combinations(expected.values(), 2):
            assert not one.overlaps(other.car, other.start, other.end)


def utc(instant: datetime) -> str:
    return iso(instant.astimezone(UTC))


def test_no_two_bookings_overlap_after_any_sequence_of_requests(
    app: Flask, as_user: FlaskClient
) -> None:
    # Hypothesis creates the instances, so a subclass holds the client.
    machine = type("Inventory", (Inventory,), {"client": as_user})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
