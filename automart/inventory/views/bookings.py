"""Bookings."""

from __future__ import annotations

from functools import partial

from flask.views import MethodView

from automart.core.db import get_or_404, rows_of, transaction
from automart.inventory import models, service
from automart.inventory.availability import bookings_within
from automart.inventory.overlaps import find_overlapping
from automart.inventory.schemas import Booking, BookingChanges, BookingQuery, NewBooking
from automart.inventory.views.blueprint import blp
from automart.web import (
    USER,
    Answer,
    Values,
    check_version,
    created,
    idempotent,
    page_of,
    paginate,
    paginate_by,
    requires,
    where_given,
)


@blp.route("/bookings")
class Bookings(MethodView):
    @requires(USER)
    @blp.arguments(BookingQuery, location="query")
    @blp.response(200, page_of(Booking))
    def get(self, query: Values) -> Values:
        """List bookings, optionally those that overlap a range.

        Without one of its ends, the range is open.
        """
        start, end, status = query["start_datetime"], query["end_datetime"], query["status"]
        bookings = bookings_within(rows_of(models.Booking), start, end)
        of_few = {
            models.Booking.car_id: query["car_id"],
            models.Booking.customer_id: query["customer_id"],
            models.Booking.customer_email_folded: query["customer_email"],
        }
        if (start or end) and not any(of_few.values()):
            fetch = partial(find_overlapping, start, end, status)
            return paginate_by(fetch, models.Booking.id, query)
        filters = of_few | {models.Booking.status: status}
        return paginate(where_given(bookings, filters), models.Booking.id, query)

    @requires(USER)
    @blp.arguments(NewBooking)
    @idempotent
    @blp.response(201, Booking)
    @blp.alt_response(409, "CONFLICT")
    def post(self, values: Values) -> Answer:
        """Book a car. The end is not part of the booking: the next one may start then."""
        booking = service.create_booking(values)
        return created(booking, "inventory.BookingById", booking_id=booking.id)


@blp.route("/bookings/<id:booking_id>")
class BookingById(MethodView):
    @requires(USER)
    @blp.response(200, Booking)
    def get(self, booking_id: int) -> models.Booking:
        """Get a booking, confirmed or cancelled."""
        return get_or_404(models.Booking, booking_id)

    @requires(USER)
    @blp.arguments(BookingChanges)
    @blp.response(200, Booking)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, booking_id: int) -> models.Booking:
        """Move a booking, or change its customer. Fields that are not sent keep their value.

        The price of a day stays as it was at the time of booking.
        """
        with transaction():
            booking = service.lock_booking(booking_id, changes)
            check_version(booking, Booking)
            service.update_booking(booking, changes)
        return booking

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    @blp.doc(operationId="cancelBooking")
    def delete(self, booking_id: int) -> None:
        """Cancel a booking. Its range becomes free, and the booking can still be read."""
        with transaction():
            booking = service.lock_booking(booking_id)
            check_version(booking, Booking)
            service.cancel_booking(booking)
