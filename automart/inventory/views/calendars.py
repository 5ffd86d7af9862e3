"""The calendars of cars."""

from __future__ import annotations

from datetime import datetime

from flask import Response, request
from flask.views import MethodView

from automart.core.db import get_or_404, utcnow
from automart.inventory import calendar, models
from automart.inventory.fields import LAST_INSTANT
from automart.inventory.schemas import Calendar, CalendarQuery
from automart.inventory.views.blueprint import blp
from automart.web import USER, Answer, Values, requires
from automart.web.media_types import JSON, accepted_media_types

ICALENDAR = "text/calendar"


@blp.route("/cars/<id:car_id>/calendar")
class CalendarOfCar(MethodView):
    @requires(USER)
    @blp.arguments(CalendarQuery, location="query")
    @blp.response(200, Calendar)
    @blp.doc(responses={200: {"content": {ICALENDAR: {"schema": {"type": "string"}}}}})
    def get(self, query: Values, car_id: int) -> Answer | Response:
        """Get the times when a car is booked and free, or its bookings (`Accept: text/calendar`).

        Cancelled bookings are part of the iCalendar object, so that a program that has imported
        them can remove them.
        """
        start, end = _range_of(query)
        car = get_or_404(models.Car, car_id)
        if accepted_media_types().best_match([JSON, ICALENDAR]) == ICALENDAR:
            bookings = calendar.bookings_of(car, start, end, include_cancelled=True)
            return _icalendar_response(calendar.as_icalendar(car, bookings))
        bookings = calendar.bookings_of(car, start, end)
        return calendar.busy_and_free(bookings, start, end), 200, {"Vary": "Accept"}


def _range_of(query: Values) -> tuple[datetime, datetime]:
    start: datetime | None = query["start"]
    end: datetime | None = query["end"]
    if start is None:
        start = utcnow().replace(hour=0, minute=0, second=0, microsecond=0)
    if end is None:
        span = calendar.DEFAULT_SPAN
        end = min(start, LAST_INSTANT - span) + span
    return start, end


def _icalendar_response(content: bytes) -> Response:
    response = Response(content, content_type=f"{ICALENDAR}; charset=utf-8")
    response.vary.add("Accept")
    response.add_etag()
    response.make_conditional(request)
    return response
