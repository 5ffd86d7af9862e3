"""The calendar of a car, as JSON and as iCalendar."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from icalendar import Calendar

from automart.inventory.models import BookingStatus
from tests.support.databases import on_sqlite
from tests.support.inventory import (
    HONDA,
    booking_body,
    day,
    iso,
    make_booking,
    make_car,
    parameters,
)

ICALENDAR = {"Accept": "text/calendar"}


def calendar(client: FlaskClient, car_id: int, start: float, end: float) -> Any:
    times = {"from": iso(day(start)), "to": iso(day(end))}
    answer = client.get(f"/v1/cars/{car_id}/calendar", query_string=times)
    assert answer.status_code == 200
    return answer.get_json()


def span(start: float, end: float, **more: Any) -> dict[str, Any]:
    return {"start": iso(day(start)), "end": iso(day(end))} | more


class TestJson:
    def test_busy_and_free_parts_cover_the_whole_range(self, as_user: FlaskClient) -> None:
        car = make_car()
        first, second = make_booking(car, 1, 2).id, make_booking(car, 2, 4).id
        make_booking(car, 5, 6, status=BookingStatus.CANCELLED)
        make_booking(make_car(), 5, 6)
        assert calendar(as_user, car.id, 0, 7) == {
            "busy": [span(1, 2, booking_id=first), span(2, 4, booking_id=second)],
            "free": [span(0, 1), span(4, 7)],
        }

    def test_a_booking_is_cut_off_at_the_ends_of_the_range(self, as_user: FlaskClient) -> None:
        car = make_car()
        booking = make_booking(car, 0, 10).id
        busy = {"busy": [span(2, 3, booking_id=booking)], "free": []}
        assert calendar(as_user, car.id, 2, 3) == busy
        assert calendar(as_user, car.id, 10, 11) == {"busy": [], "free": [span(10, 11)]}
        assert calendar(as_user, car.id, -1, 0) == {"busy": [], "free": [span(-1, 0)]}

    def test_the_default_range_is_365_days_from_today(self, as_user: FlaskClient) -> None:
        url = f"/v1/cars/{make_car().id}/calendar"
        (free,) = as_user.get(url).get_json()["free"]
        start, end = (datetime.fromisoformat(free[name]) for name in ("start", "end"))
        assert end - start == timedelta(days=365)
        assert start.time().isoformat() == "00:00:00"

    @on_sqlite
    @pytest.mark.parametrize(
        ("query", "wrong"),
        [
            ("from=2090-01-01", "from"),
            ("to=2090-01-01T00:00:00", "to"),
            (f"from={iso(day(1))}&to={iso(day(1))}", "to"),
            (f"start={iso(day(1))}", "start"),
        ],
    )
    def test_a_bad_query_for_a_calendar_is_refused(
        self, as_user: FlaskClient, query: str, wrong: str
    ) -> None:
        answer = as_user.get(f"/v1/cars/{make_car().id}/calendar?{query}")
        assert parameters(answer) == {wrong}


class TestIcalendar:
    def events(self, client: FlaskClient, car_id: int) -> dict[str, Any]:
        url = f"/v1/cars/{car_id}/calendar?from={iso(day(0))}&to={iso(day(30))}"
        answer = client.get(url, headers=ICALENDAR)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
        assert answer.headers["Vary"] == "Accept"
        lines = answer.get_data().split(b"\r\n")
        assert max(map(len, lines)) <= 75
        found = Calendar.from_ical(answer.get_data())
        assert found["version"] == "2.0"
        assert found["prodid"]
        return {str(event["uid"]): event for event in found.walk("VEVENT")}

    def test_a_booking_is_a_valid_event(self, as_user: FlaskClient) -> None:
        car = make_car()
        name = "Zoë, Doe; " + "von und zu " * 15 + "\\n"
        make_booking(car, 1, 2, customer_name=name)
        (event,) = self.events(as_user, car.id).values()
        assert event.decoded("dtstart") == day(1)
        assert event.decoded("dtend") == day(2)
        assert str(event["summary"]) == f"Honda Civic: {name}"
        assert not event.errors
        for required in ("uid", "dtstamp", "dtstart"):
            assert required in event

    def test_each_new_booking_is_the_first_revision_of_its_own_event(
        self, as_user: FlaskClient
    ) -> None:
        car = make_car()
        for start in (1, 3):
            body = booking_body(car.id, day(start), day(start + 1))
            assert as_user.post("/v1/bookings", json=body).status_code == 201
        assert [event["sequence"] for event in self.events(as_user, car.id).values()] == [0, 0]

    def test_a_moved_booking_is_a_new_revision_of_its_event(self, as_user: FlaskClient) -> None:
        car = make_car()
        booking = make_booking(car, 1, 2)
        make_booking(car, 3, 4)
        before = self.events(as_user, car.id)
        assert self.events(as_user, car.id) == before
        moved = as_user.patch(f"/v1/bookings/{booking.id}", json={"end_datetime": iso(day(2.5))})
        assert moved.status_code == 200
        after = self.events(as_user, car.id)
        assert after.keys() == before.keys()
        changed = [uid for uid in after if after[uid] != before[uid]]
        assert changed == [booking.uid.urn]
        new, old = after[booking.uid.urn], before[booking.uid.urn]
        assert new["sequence"] == old["sequence"] + 1
        assert new.decoded("dtstamp") >= old.decoded("dtstamp")
        assert new.decoded("dtend") == day(2.5)
        as_user.patch(f"/v1/bookings/{booking.id}", json={"end_datetime": iso(day(2.6))})
        assert self.events(as_user, car.id)[booking.uid.urn]["sequence"] == old["sequence"] + 2

    def test_a_cancelled_booking_is_a_cancelled_event(self, as_user: FlaskClient) -> None:
        car = make_car()
        booking = make_booking(car, 1, 2)
        (before,) = self.events(as_user, car.id).values()
        assert (before["status"], before["transp"]) == ("CONFIRMED", "OPAQUE")
        assert as_user.delete(f"/v1/bookings/{booking.id}").status_code == 204
        make_booking(car, 1, 2)
        events = self.events(as_user, car.id)
        assert len(events) == 2
        after = events[booking.uid.urn]
        assert (after["status"], after["transp"]) == ("CANCELLED", "TRANSPARENT")
        assert after["sequence"] == before["sequence"] + 1
        assert calendar(as_user, car.id, 0, 7)["free"] == [span(0, 1), span(2, 7)]

    def test_a_second_that_is_booked_in_part_is_busy(self, as_user: FlaskClient) -> None:
        car = make_car()
        part = timedelta(microseconds=1)
        make_booking(car, start_datetime=day(1) + part, end_datetime=day(1) + 2 * part)
        (event,) = self.events(as_user, car.id).values()
        assert event.decoded("dtstart") == day(1)
        assert event.decoded("dtend") == day(1) + timedelta(seconds=1)

    def test_a_calendar_without_bookings_has_a_component(self, as_user: FlaskClient) -> None:
        car = make_car()
        assert self.events(as_user, car.id) == {}
        answer = as_user.get(f"/v1/cars/{car.id}/calendar", headers=ICALENDAR)
        found = Calendar.from_ical(answer.get_data())
        (zone,) = found.subcomponents
        (standard,) = zone.subcomponents
        assert (zone.name, zone["tzid"], standard.name) == ("VTIMEZONE", "UTC", "STANDARD")
        assert standard.decoded("dtstart") == datetime(1970, 1, 1)  # noqa: DTZ001 - local time
        offsets = standard.decoded("tzoffsetfrom"), standard.decoded("tzoffsetto")
        assert offsets == (timedelta(0), timedelta(0))
        assert str(found["x-wr-calname"]) == str(found["name"]) == f"Honda Civic {car.vin}"

    def test_an_event_that_shows_a_renamed_car_is_a_new_revision(
        self, as_user: FlaskClient, as_admin: FlaskClient
    ) -> None:
        car, other = make_car(), make_car()
        booking = make_booking(car, 1, 2)
        make_booking(other, 1, 2)
        (before,) = self.events(as_user, car.id).values()
        assert as_user.patch(f"/v1/cars/{car.id}", json={"color": "red"}).status_code == 200
        assert self.events(as_user, car.id) == {str(before["uid"]): before}
        patched = as_user.patch(f"/v1/cars/{car.id}", json={"model": "Accord"})
        assert patched.status_code == 200
        (renamed,) = self.events(as_user, car.id).values()
        assert str(renamed["summary"]).startswith("Honda Accord: ")
        assert renamed["sequence"] == before["sequence"] + 1
        assert as_admin.patch(f"/v1/makes/{HONDA}", json={"name": "Hondá"}).status_code == 200
        (again,) = self.events(as_user, car.id).values()
        assert str(again["summary"]).startswith("Hondá Accord: ")
        assert again["sequence"] == before["sequence"] + 2
        shown = as_user.get(f"/v1/bookings/{booking.id}").get_json()
        assert shown["updated_at"] == shown["created_at"]

    def test_a_client_that_has_the_current_calendar_gets_304(self, as_user: FlaskClient) -> None:
        car = make_car()
        make_booking(car, 1, 2)
        url = f"/v1/cars/{car.id}/calendar?from={iso(day(0))}&to={iso(day(30))}"
        etag = as_user.get(url, headers=ICALENDAR).headers["ETag"]
        again = as_user.get(url, headers=ICALENDAR | {"If-None-Match": etag})
        assert again.status_code == 304
        assert as_user.get(url, headers={"If-None-Match": etag}).status_code == 200
