"""Dealers, cars, bookings, what is free."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, request
from flask.views import MethodView
from sqlalchemy import Select, select

from automart.core.db import db, get_or_404, transaction, utcnow
from automart.core.text import casefold_key
from automart.inventory import calendar, service
from automart.inventory.fields import LAST_INSTANT
from automart.inventory.models import Booking, Car, Dealer
from automart.inventory.schemas import (
    AvailableCarsQuery,
    BookingChanges,
    BookingQuery,
    BookingSchema,
    BookingValues,
    CalendarQuery,
    CalendarSchema,
    CarChanges,
    CarQuery,
    CarSchema,
    DealerChanges,
    DealerQuery,
    DealerSchema,
)
from automart.web import (
    USER,
    Answer,
    Blueprint,
    Values,
    absolute_url,
    check_version,
    idempotent,
    page_of,
    paginate,
    requires,
)
from automart.web.media_types import JSON

blp = Blueprint("inventory", __name__, url_prefix="/v1", description="Dealers, cars, bookings")


ICALENDAR = "text/calendar"


@blp.route("/dealers")
class Dealers(MethodView):
    @requires(USER)
    @blp.arguments(DealerQuery, location="query")
    @blp.response(200, page_of(DealerSchema))
    def get(self, query: Values) -> Values:
        """List dealers."""
        return paginate(select(Dealer), Dealer.id, query)

    @requires(USER)
    @blp.arguments(DealerSchema)
    @idempotent
    @blp.response(201, DealerSchema)
    def post(self, values: Values) -> Answer:
        """Add a dealer."""
        with transaction():
            dealer = Dealer(**values)
            db.session.add(dealer)
            db.session.flush()
        return dealer, 201, {"Location": absolute_url("inventory.DealerById", dealer_id=dealer.id)}


@blp.route("/dealers/<id:dealer_id>")
class DealerById(MethodView):
    @requires(USER)
    @blp.response(200, DealerSchema)
    def get(self, dealer_id: int) -> Dealer:
        """Read a dealer."""
        return get_or_404(Dealer, dealer_id)

    @requires(USER)
    @blp.arguments(DealerChanges(partial=True))
    @blp.response(200, DealerSchema)
    def patch(self, changes: Values, dealer_id: int) -> Dealer:
        """Change the fields that are sent and leave the others."""
        with transaction():
            dealer = service.lock_dealer(dealer_id)
            check_version(dealer, DealerSchema)
            dealer.update(changes)
        return dealer

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, dealer_id: int) -> None:
        """Delete a dealer that has no cars."""
        with transaction():
            dealer = service.lock_dealer(dealer_id)
            check_version(dealer, DealerSchema)
            service.delete_dealer(dealer)


@blp.route("/cars")
class Cars(MethodView):
    @requires(USER)
    @blp.arguments(CarQuery, location="query")
    @blp.response(200, page_of(CarSchema))
    def get(self, query: Values) -> Values:
        """List cars."""
        cars = _filtered(select(Car), query)
        if query["year"] is not None:
            cars = cars.where(Car.year == query["year"])
        if query["status"] is not None:
            cars = cars.where(Car.status == query["status"])
        return paginate(cars, Car.id, query)

    @requires(USER)
    @blp.arguments(CarSchema)
    @idempotent
    @blp.response(201, CarSchema)
    @blp.alt_response(409, "CONFLICT")
    def post(self, values: Values) -> Answer:
        """Add a car. Brand and model must be in the catalogue."""
        with transaction():
            car = service.add_car(values)
            db.session.flush()
        return car, 201, {"Location": absolute_url("inventory.CarById", car_id=car.id)}


@blp.route("/cars/<id:car_id>")
class CarById(MethodView):
    @requires(USER)
    @blp.response(200, CarSchema)
    def get(self, car_id: int) -> Car:
        """Read a car."""
        return get_or_404(Car, car_id)

    @requires(USER)
    @blp.arguments(CarSchema)
    @blp.response(200, CarSchema)
    @blp.alt_response(409, "CONFLICT")
    def put(self, values: Values, car_id: int) -> Car:
        """Replace everything that can be written. Brand and model are checked if they change."""
        return _change_car(car_id, values)

    @requires(USER)
    @blp.arguments(CarChanges(partial=True))
    @blp.response(200, CarSchema)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, car_id: int) -> Car:
        """Change the fields that are sent and leave the others."""
        return _change_car(car_id, changes)

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, car_id: int) -> None:
        """Delete a car without confirmed bookings to come. Its other bookings stay, without it."""
        with transaction():
            car = service.lock_car(car_id)
            check_version(car, CarSchema)
            service.delete_car(car)


@blp.route("/cars/<id:car_id>/calendar")
class CalendarOfCar(MethodView):
    @requires(USER)
    @blp.arguments(CalendarQuery, location="query")
    @blp.response(200, CalendarSchema)
    @blp.doc(responses={200: {"content": {ICALENDAR: {"schema": {"type": "string"}}}}})
    def get(self, query: Values, car_id: int) -> Answer | Response:
        """Tell when a car is busy and when it is free; or, as text/calendar, its bookings.

        The calendar has cancelled bookings too, as such: a program that knows them lets them go.
        """
        start, end = _asked_range(query)
        car = get_or_404(Car, car_id)
        if request.accept_mimetypes.best_match([JSON, ICALENDAR]) == ICALENDAR:
            bookings = calendar.bookings_of(car, start, end, cancelled_too=True)
            return _icalendar(calendar.as_icalendar(car, bookings))
        bookings = calendar.bookings_of(car, start, end)
        return calendar.busy_and_free(bookings, start, end), 200, {"Vary": "Accept"}


@blp.route("/bookings")
class Bookings(MethodView):
    @requires(USER)
    @blp.arguments(BookingQuery, location="query")
    @blp.response(200, page_of(BookingSchema))
    def get(self, query: Values) -> Values:
        """List bookings; with a range, those that overlap it. Either of its ends may be absent."""
        bookings = service.bookings_within(
            select(Booking), query["start_datetime"], query["end_datetime"]
        )
        if query["car_id"] is not None:
            bookings = bookings.where(Booking.car_id == query["car_id"])
        if query["customer_email"] is not None:
            folded = casefold_key(query["customer_email"])
            bookings = bookings.where(Booking.customer_email_folded == folded)
        if query["status"] is not None:
            bookings = bookings.where(Booking.status == query["status"])
        return paginate(bookings, Booking.id, query)

    @requires(USER)
    @blp.arguments(BookingValues)
    @idempotent
    @blp.response(201, BookingSchema)
    @blp.alt_response(409, "CONFLICT")
    def post(self, values: Values) -> Answer:
        """Book a car, from the start up to and without the end."""
        with transaction():
            booking = service.add_booking(values)
            db.session.flush()
        here = absolute_url("inventory.BookingById", booking_id=booking.id)
        return booking, 201, {"Location": here}


@blp.route("/bookings/<id:booking_id>")
class BookingById(MethodView):
    @requires(USER)
    @blp.response(200, BookingSchema)
    def get(self, booking_id: int) -> Booking:
        """Read a booking. Cancelled ones stay readable."""
        return get_or_404(Booking, booking_id)

    @requires(USER)
    @blp.arguments(BookingChanges(partial=True))
    @blp.response(200, BookingSchema)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, booking_id: int) -> Booking:
        """Move a booking, or change its customer. A day costs what it did at booking."""
        with transaction():
            change = service.lock_booking(booking_id, changes)
            check_version(change.booking, BookingSchema)
            service.change_booking(change)
        return change.booking

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, booking_id: int) -> None:
        """Cancel a booking: its dates are free again, and it stays readable."""
        with transaction():
            booking = service.lock_booking(booking_id).booking
            check_version(booking, BookingSchema)
            service.cancel_booking(booking)


@blp.route("/bookings/available-cars")
class AvailableCars(MethodView):
    @requires(USER)
    @blp.arguments(AvailableCarsQuery, location="query")
    @blp.response(200, page_of(CarSchema))
    def get(self, query: Values) -> Values:
        """List the cars that are not in maintenance and free for the whole range."""
        cars = service.available_cars(query["start_datetime"], query["end_datetime"])
        cars = _filtered(cars, query)
        if query["max_daily_price"] is not None:
            cars = cars.where(Car.daily_price <= query["max_daily_price"])
        return paginate(cars, Car.id, query)


def _filtered(cars: Select[Any], query: Values) -> Select[Any]:
    if query["brand"] is not None:
        cars = cars.where(service.of_brand(query["brand"]))
    if query["model"] is not None:
        cars = cars.where(Car.model_folded == casefold_key(query["model"]))
    if query["dealer_id"] is not None:
        cars = cars.where(Car.dealer_id == query["dealer_id"])
    return cars


def _change_car(car_id: int, changes: Values) -> Car:
    with transaction():
        car = service.lock_car(car_id)
        check_version(car, CarSchema)
        service.change_car(car, changes)
    return car


def _asked_range(query: Values) -> tuple[datetime, datetime]:
    start: datetime | None = query["start"]
    end: datetime | None = query["end"]
    if start is None:
        start = utcnow().replace(hour=0, minute=0, second=0, microsecond=0)
    if end is None:
        span = calendar.DEFAULT_SPAN
        end = min(start, LAST_INSTANT - span) + span
    return start, end


def _icalendar(content: bytes) -> Response:
    response = Response(content, content_type=f"{ICALENDAR}; charset=utf-8")
    response.vary.add("Accept")
    response.add_etag()
    response.make_conditional(request)
    return response
