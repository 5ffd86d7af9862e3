"""Cars of the catalogue, bookings that never overlap, and what is free.

Every write of a booking or of a car's status locks the car's row first, so that writers wait for
each other in line. Rows are locked in one order: customer, cars by their ids, booking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, literal_column, select

from automart.catalogue.models import VehicleMake
from automart.catalogue.service import find_model
from automart.core.db import db, get_or_404, utcnow
from automart.core.errors import FIELDS_ARE_WRONG, Conflict, Invalid, NotFound
from automart.core.text import casefold_key
from automart.customers.models import Customer
from automart.inventory.models import Booking, BookingStatus, Car, CarStatus, Dealer
from automart.web.fields import rfc3339

# Indexes of confirmed bookings are used only where the word stands in the statement itself.
IS_CONFIRMED = Booking.status == literal_column("'confirmed'")
LOCKING_TRIES = 5
MISSING = "Missing data for required field."


def lock_dealer(dealer_id: int) -> Dealer:
    """The dealer, locked: no car can come to it before the transaction ends."""
    return get_or_404(Dealer, dealer_id, lock=True)


def delete_dealer(dealer: Dealer) -> None:
    """Delete a locked dealer. Raises `Conflict` while it has cars."""
    if db.session.scalar(select(exists().where(Car.dealer_id == dealer.id))):
        raise Conflict(f"Dealer {dealer.id} still has cars.")
    db.session.delete(dealer)


def lock_car(car_id: int) -> Car:
    """The car, freshly read and locked against other writers. Raises `NotFound`."""
    car = _locked_car(car_id)
    if car is None:
        raise NotFound(f"There is no car {car_id}.")
    return car


def add_car(values: Mapping[str, Any]) -> Car:
    """A new car, in the present transaction. Raises `Invalid` for what does not exist."""
    car = Car()
    _describe(car, values)
    db.session.add(car)
    return car


def change_car(car: Car, changes: Mapping[str, Any]) -> None:
    """Change a locked car. Raises `Invalid` for what does not exist.

    Brand and model are looked up only if they are written otherwise than they were; and in whatever
    case, a car keeps the name of a model that has left the catalogue.
    """
    _describe(car, changes)


def delete_car(car: Car) -> None:
    """Delete a locked car. Raises `Conflict` while a confirmed booking has not ended."""
    pending = (
        select(Booking)
        .where(Booking.car_id == car.id, IS_CONFIRMED, Booking.end_datetime > utcnow())
        .order_by(Booking.start_datetime)
        .limit(1)
    )
    booking = db.session.scalar(pending)
    if booking is not None:
        raise _booked(f"Car {car.id} cannot be deleted: it is booked", booking)
    db.session.delete(car)


def add_booking(values: Mapping[str, Any]) -> Booking:
    """A new booking, in the present transaction.

    Raises `Invalid` for what does not exist, `Conflict` if the car cannot be had for these dates.
    """
    values = _with_customer(values)
    missing = [name for name in ("customer_name", "customer_email") if name not in values]
    if missing:
        errors = [{"detail": MISSING, "pointer": f"#/{name}"} for name in missing]
        raise Invalid(FIELDS_ARE_WRONG, errors=errors)
    car = _locked_car(values["car_id"])
    if car is None:
        raise Invalid.field("car_id", f"There is no car {values['car_id']}.")
    booking = Booking(**values, daily_price=car.daily_price)
    _check_order(booking.start_datetime, booking.end_datetime)
    _check_free(car, booking.start_datetime, booking.end_datetime)
    booking.set_price()
    db.session.add(booking)
    return booking


@dataclass(frozen=True, slots=True)
class BookingChange:
    """A locked booking, with what is to be changed of it."""

    booking: Booking
    values: Mapping[str, Any]
    car: Car | None
    """The car that it will be of, locked; None if that is gone."""


def lock_booking(booking_id: int, changes: Mapping[str, Any] | None = None) -> BookingChange:
    """Lock what a change of a booking concerns. Raises `NotFound`, and `Invalid` for a car or a
    customer that does not exist."""
    for _ in range(LOCKING_TRIES):
        # Which cars to lock is only known for sure once they are, and the booking after them. If
        # another request has moved it meanwhile, the locks go, and the order of locking is kept.
        with db.session.begin_nested() as locks:
            change = _locked(booking_id, changes or {})
            if change is not None:
                return change
            locks.rollback()
    raise Conflict(f"Booking {booking_id} is being moved from car to car.")


def _locked(booking_id: int, changes: Mapping[str, Any]) -> BookingChange | None:
    """None if the booking was moved to another car while we waited for locks."""
    before = get_or_404(Booking, booking_id).car_id
    values = _with_customer(changes)
    after = changes.get("car_id", before)
    cars = {ident: _locked_car(ident) for ident in sorted({before, after} - {None})}
    booking = get_or_404(Booking, booking_id, lock=True)
    if booking.car_id not in {before, None}:
        return None
    car = cars.get(after)
    if car is None and "car_id" in changes:
        raise Invalid.field("car_id", f"There is no car {after}.")
    return BookingChange(booking, values, car)


def change_booking(change: BookingChange) -> None:
    """Move a locked booking, or change its customer. The price of a day stays as it was.

    Raises `Conflict` if it is cancelled, or if the car cannot be had for the new dates.
    """
    booking, values = change.booking, change.values
    if not values:
        return
    if booking.is_cancelled:
        raise Conflict(f"Booking {booking.id} is cancelled.")
    before = _place(booking)
    start = values.get("start_datetime", booking.start_datetime)
    end = values.get("end_datetime", booking.end_datetime)
    _check_order(start, end)
    if (values.get("car_id", booking.car_id), start, end) != before:
        if change.car is None:
            raise Conflict(f"Booking {booking.id} cannot be moved: its car was deleted.")
        _check_free(change.car, start, end, moved=booking)
    booking.update(values)
    booking.set_price()
    _count_revision(booking)


def cancel_booking(booking: Booking) -> None:
    """Free the dates of a locked booking. Once cancelled, it stays so."""
    booking.status = BookingStatus.CANCELLED
    _count_revision(booking)


def bookings_within(
    statement: Select[Any], start: datetime | None, end: datetime | None
) -> Select[Any]:
    """Those of the bookings that `statement` selects that overlap a range, open where it is None.

    Raises `Invalid` if it ends before it begins.
    """
    if start is not None and end is not None:
        check_query_order(start, end)
    if start is not None:
        statement = statement.where(Booking.end_datetime > start)
    if end is not None:
        statement = statement.where(Booking.start_datetime < end)
    return statement


def available_cars(start: datetime, end: datetime) -> Select[Any]:
    """The cars that are not in maintenance, and free for the whole range."""
    check_query_order(start, end)
    return select(Car).where(Car.status == CarStatus.AVAILABLE, _is_free(start, end))


def of_brand(brand: str) -> ColumnElement[bool]:
    """Whether a car is of the make with this name, in any case."""
    make = select(VehicleMake.id).where(VehicleMake.name_folded == casefold_key(brand))
    return Car.make_id == make.scalar_subquery()


def check_query_order(
    start: datetime, end: datetime, *, end_parameter: str = "end_datetime"
) -> None:
    """Raise `Invalid` unless the range that a query names ends after it begins."""
    if end <= start:
        error = {"detail": "Must be after the start.", "parameter": end_parameter}
        raise Invalid(FIELDS_ARE_WRONG, errors=[error])


def _locked_car(car_id: int) -> Car | None:
    # FOR NO KEY UPDATE: writers of the row exclude each other, whoever refers to it may go on.
    # Without `of`, the make would be locked with it, and cars of one make wait for each other.
    return db.session.scalar(
        select(Car)
        .where(Car.id == car_id)
        .with_for_update(of=Car, key_share=True)
        .execution_options(populate_existing=True)
    )


def _describe(car: Car, values: Mapping[str, Any]) -> None:
    values = dict(values)
    is_new = car.make_id is None
    brand = values.pop("brand", None if is_new else car.brand)
    model = values.pop("model", car.model)
    if is_new or casefold_key(brand) != car.make.name_folded or model != car.model:
        try:
            car.make, car.model = find_model(brand, model)
        except Invalid:
            if (
                is_new
                or casefold_key(brand) != car.make.name_folded
                or casefold_key(model) != car.model_folded
            ):
                raise
    dealer_id = values.get("dealer_id", car.dealer_id)
    if dealer_id != car.dealer_id and not _is_kept(Dealer, dealer_id):
        raise Invalid.field("dealer_id", f"There is no dealer {dealer_id}.")
    car.update(values)


def _is_kept(model: type[Dealer], ident: int) -> bool:
    """Whether the row exists; then it stays until the transaction ends."""
    found = select(model.id).where(model.id == ident)
    return db.session.scalar(found.with_for_update(read=True, key_share=True)) is not None


def _with_customer(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """`values` with the name and the e-mail of their customer, unless these are given too."""
    customer_id = values.get("customer_id")
    if customer_id is None:
        return values
    customer = db.session.scalar(
        select(Customer)
        .where(Customer.id == customer_id)
        .with_for_update(read=True, key_share=True, of=Customer)
        .execution_options(populate_existing=True)
    )
    if customer is None:
        raise Invalid.field("customer_id", f"There is no customer {customer_id}.")
    name = f"{customer.first_name} {customer.last_name}"
    return {"customer_name": name, "customer_email": customer.email, **values}


def _place(booking: Booking) -> tuple[int | None, datetime, datetime]:
    return booking.car_id, booking.start_datetime, booking.end_datetime


def _check_order(start: datetime, end: datetime) -> None:
    if end <= start:
        raise Invalid.field("end_datetime", "Must be after start_datetime.")


def _check_free(car: Car, start: datetime, end: datetime, moved: Booking | None = None) -> None:
    """Raise `Conflict` unless a locked car can be had for the whole range."""
    if car.status is CarStatus.MAINTENANCE:
        raise Conflict(f"Car {car.id} is in maintenance.")
    # The confirmed bookings of a car do not overlap: if any is in the way, the last one is that
    # begins before the range ends.
    last = (
        select(Booking)
        .where(Booking.car_id == car.id, IS_CONFIRMED, Booking.start_datetime < end)
        .order_by(Booking.start_datetime.desc())
        .limit(1)
    )
    if moved is not None:
        last = last.where(Booking.id != moved.id)
    booking = db.session.scalar(last)
    if booking is not None and booking.end_datetime > start:
        raise _booked(f"Car {car.id} is booked", booking)


def _booked(what: str, booking: Booking) -> Conflict:
    start, end = rfc3339(booking.start_datetime), rfc3339(booking.end_datetime)
    return Conflict(
        f"{what} from {start} to {end}.",
        in_the_way={"booking_id": booking.id, "start_datetime": start, "end_datetime": end},
    )


def _is_free(start: datetime, end: datetime) -> ColumnElement[bool]:
    """Whether a car has no confirmed booking within the range: one look into an index a car.

    As above, only the last booking that begins before the range ends can be in the way. NOT EXISTS
    would say the same, and be planned as a join with all bookings there are.
    """
    end_of_last = (
        select(Booking.end_datetime)
        .where(Booking.car_id == Car.id, IS_CONFIRMED, Booking.start_datetime < end)
        .order_by(Booking.start_datetime.desc())
        .limit(1)
        .correlate(Car)
        .scalar_subquery()
    )
    return func.coalesce(end_of_last <= start, True)


def _count_revision(booking: Booking) -> None:
    """Say that the booking is another version of itself, if it is."""
    if db.session.is_modified(booking):
        booking.revision += 1
