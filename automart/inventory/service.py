"""The rules of dealers, cars and bookings.

Code that writes a booking or the status of a car locks the row of the car first. Rows are locked in
this order: customer, cars by id, booking. The order prevents deadlocks. Only a booking by one
statement locks the car before the customer, to which it refers. This is safe as long as nothing
that deletes a customer waits for a car.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Connection, Row, Update, exists, select, update

from automart.catalogue.models import VehicleMake
from automart.catalogue.service import find_model
from automart.core.db import (
    db,
    for_update,
    get_or_404,
    get_referenced,
    in_transaction,
    lock_name,
    lock_or_404,
    lock_row_or_404,
    transaction,
    utcnow,
)
from automart.core.errors import FIELDS_ARE_WRONG, Conflict, Invalid, NotFound, Unavailable
from automart.core.text import name_key
from automart.customers.models import Customer
from automart.inventory.availability import IS_CONFIRMED, booking_conflict, check_available
from automart.inventory.models import Booking, BookingStatus, Car, Dealer
from automart.inventory.new_booking import CONTACT, book, book_if_free, contact_of

LOCK_ATTEMPTS = 5
MISSING = "Missing data for required field."


def create_dealer(values: Mapping[str, Any]) -> Dealer:
    """Add a dealer."""
    dealer = Dealer(**values)
    db.session.add(dealer)
    return dealer


def update_dealer(dealer: Dealer, changes: Mapping[str, Any]) -> None:
    """Update a locked dealer."""
    dealer.update(changes)


def delete_dealer(dealer: Dealer) -> None:
    """Delete a dealer that was locked `before_delete`. Raises `Conflict` if it has cars."""
    if db.session.scalar(select(exists().where(Car.dealer_id == dealer.id))):
        raise Conflict(f"Dealer {dealer.id} still has cars.")
    db.session.delete(dealer)


def create_car(values: Mapping[str, Any]) -> Car:
    """Add a car. Raises `Invalid` for an unknown brand, model or dealer."""
    others = dict(values)
    make, model = _find_model(others.pop("brand"), others.pop("model"))
    get_referenced(Dealer, "dealer_id", values["dealer_id"])
    car = Car(make=make, model=model, **others)
    db.session.add(car)
    return car


def create_cars(rows: Sequence[Mapping[str, Any]]) -> None:
    """Add many cars by one statement. The rows name columns; brand and model have been looked up.

    Raises `IntegrityError` if a VIN exists, or a make or dealer does not.
    """
    folded = [{**row, "model_folded": name_key(row["model"])} for row in rows]
    db.session.execute(sqlalchemy.insert(Car), folded)


def update_car(car: Car, changes: Mapping[str, Any]) -> None:
    """Update a locked car. Raises `Invalid` for an unknown brand, model or dealer."""
    others = dict(changes)
    shown = (car.brand, car.model)
    _update_model(car, others.pop("brand", car.brand), others.pop("model", car.model))
    if others.get("dealer_id", car.dealer_id) != car.dealer_id:
        get_referenced(Dealer, "dealer_id", others["dealer_id"])
    if (car.brand, car.model) != shown:
        _count_revisions(Booking.car_id == car.id)
    car.update(others)


def delete_car(car: Car) -> None:
    """Delete a car that was locked `before_delete`.

    Raises `Conflict` if it has a confirmed booking that has not ended.
    """
    pending = (
        select(Booking)
        .where(Booking.car_id == car.id, IS_CONFIRMED, Booking.end_datetime > utcnow())
        .order_by(Booking.start_datetime)
        .limit(1)
    )
    booking = db.session.scalar(pending)
    if booking is not None:
        raise booking_conflict(f"Car {car.id} cannot be deleted: it is booked", booking)
    db.session.delete(car)


def create_booking(values: Mapping[str, Any]) -> Row[Any]:
    """Add a booking, in the current transaction or in one of its own. Return its columns.

    Raises `Invalid` for an unknown car or customer, and `Conflict` if the car is not available.
    """
    if values.get("customer_id") is None and values.get("customer_email") is None:
        # There is no customer to take an e-mail from: report null as a missing one.
        values = {name: value for name, value in values.items() if name != "customer_email"}
    if not in_transaction():
        booking = book_if_free(values)
        if booking is not None:
            return booking
    with transaction():
        return book(_check_bookable(values))


def lock_booking(booking_id: int, changes: Mapping[str, Any] | None = None) -> Booking:
    """Return a booking, freshly read and locked with the cars and the customer that it concerns.

    With `changes`, these include the new car and the new customer. Raises `NotFound`, and `Invalid`
    if a new car or customer does not exist.
    """
    # Cars are locked before the booking, but only the booking says which one is its car. So others
    # who move this booking wait here.
    lock_name(f"booking:{booking_id}")
    for _ in range(LOCK_ATTEMPTS):
        # During an upgrade, the release before this one moves bookings without that lock. Then all
        # locks are released for the next attempt.
        with db.session.begin_nested() as attempt:
            booking = _try_to_lock_booking(booking_id, changes or {})
            if booking is not None:
                return booking
            attempt.rollback()
    raise Unavailable(f"Booking {booking_id} is being moved from car to car.", retry_after=1)


def update_booking(booking: Booking, changes: Mapping[str, Any]) -> None:
    """Update a booking that was locked with the same changes. The price of a day stays the same.

    Raises `Conflict` if it is cancelled, or if the car is not available for a new range, and
    `Invalid` if the e-mail is cleared that a booking without a customer needs.
    """
    if not changes:
        return
    if booking.is_cancelled:
        raise Conflict(f"Booking {booking.id} is cancelled.")
    car_id = changes.get("car_id", booking.car_id)
    start = changes.get("start_datetime", booking.start_datetime)
    end = changes.get("end_datetime", booking.end_datetime)
    _check_order(start, end)
    _check_email(booking, changes)
    if (car_id, start, end) != (booking.car_id, booking.start_datetime, booking.end_datetime):
        if car_id is None:
            raise Conflict(f"Booking {booking.id} cannot be moved: its car was deleted.")
        check_available(get_or_404(Car, car_id), start, end, moved=booking)
    booking.update(_with_customer(changes))
    booking.set_price()
    _count_revision(booking)


def cancel_booking(booking: Booking) -> None:
    """Cancel a locked booking, so that its range is free. This is final."""
    booking.status = BookingStatus.CANCELLED
    _count_revision(booking)


def _check_bookable(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Lock the car and the customer of a new booking. Return `values` with the customer's name and
    e-mail. Raises `Invalid` and `Conflict`."""
    known = _with_customer(values)
    missing = [name for name in CONTACT if name not in known]
    if missing:
        errors = [{"detail": MISSING, "pointer": f"#/{name}"} for name in missing]
        raise Invalid(FIELDS_ARE_WRONG, errors=errors)
    try:
        car = lock_row_or_404(Car, values["car_id"])
    except NotFound:
        raise _unknown_car(values["car_id"]) from None
    start, end = values["start_datetime"], values["end_datetime"]
    _check_order(start, end)
    check_available(car, start, end)
    return known


def _find_model(brand: str, model: str) -> tuple[VehicleMake, str]:
    """Return a make, which cannot be deleted until the transaction ends, and a model's name."""
    make_id, name = find_model(brand, model)
    return get_referenced(VehicleMake, "brand", make_id), name


def _update_model(car: Car, brand: str, model: str) -> None:
    """Set make and model. They are looked up only if they differ from those of the car.

    A model that has left the catalogue is kept even if its name is sent with another
    case, kind of apostrophe or number of spaces.
    """
    is_same_make = name_key(brand) == name_key(car.brand)
    if is_same_make and model == car.model:
        return
    try:
        car.make, car.model = _find_model(brand, model)
    except Invalid:
        if not is_same_make or name_key(model) != car.model_folded:
            raise


def _lock_car(car_id: int) -> Car | None:
    """Return a car, freshly read and locked, or None if it does not exist."""
    car: Car | None = db.session.scalar(for_update(select(Car).where(Car.id == car_id), Car))
    return car


def _try_to_lock_booking(booking_id: int, changes: Mapping[str, Any]) -> Booking | None:
    """Return the locked booking, or None if it got another car before it was locked."""
    before = _car_of(booking_id)
    _with_customer(changes)
    after = changes.get("car_id", before)
    cars = {car_id: _lock_car(car_id) for car_id in sorted({before, after} - {None})}
    booking = lock_or_404(Booking, booking_id)
    if booking.car_id not in {before, None}:
        return None
    if "car_id" in changes and cars[after] is None:
        raise _unknown_car(after)
    return booking


def _car_of(booking_id: int) -> int | None:
    row = db.session.execute(select(Booking.car_id).where(Booking.id == booking_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no booking {booking_id}.")
    car_id: int | None = row.car_id
    return car_id


def _with_customer(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `values` with the customer's name and e-mail, unless `values` contain others.

    The customer cannot be deleted until the transaction ends. Raises `Invalid`.
    """
    customer_id = values.get("customer_id")
    if customer_id is None:
        return values
    customer = get_referenced(Customer, "customer_id", customer_id)
    return {**contact_of(customer), **values}


def _unknown_car(car_id: int) -> Invalid:
    return Invalid.field("car_id", f"There is no car {car_id}.")


def _check_order(start: datetime, end: datetime) -> None:
    if end <= start:
        raise Invalid.field("end_datetime", "Must be after `start_datetime`.")


def _check_email(booking: Booking, changes: Mapping[str, Any]) -> None:
    """Check that `changes` do not clear the e-mail of a booking without a customer.

    If the customer was deleted, there may be none: then null, as it was read, may be sent back.
    """
    email = changes.get("customer_email", booking.customer_email)
    customer_id = changes.get("customer_id", booking.customer_id)
    if booking.customer_email and not email and customer_id is None:
        raise Invalid.field(
            "customer_email", "Must not be null in a booking without a `customer_id`."
        )


@sqlalchemy.event.listens_for(VehicleMake, "after_update")
def _show_renamed_make(_mapper: object, connection: Connection, make: VehicleMake) -> None:
    """Count revisions of the bookings whose events show a renamed make.

    The catalogue, which renames it, knows nothing of them.
    """
    if sqlalchemy.inspect(make).attrs.name.history.has_changes():
        cars = select(Car.id).where(Car.make_id == make.id)
        connection.execute(_revised(Booking.car_id.in_(cars)))


def _count_revisions(which: ColumnElement[bool]) -> None:
    """Count a revision of bookings whose events in calendars have changed, although they have not:
    programs that have imported an event take a change over only if its revision is higher."""
    db.session.execute(_revised(which), execution_options={"synchronize_session": False})


def _revised(which: ColumnElement[bool]) -> Update:
    unchanged = {Booking.updated_at: Booking.updated_at}
    return (
        update(Booking).where(which).values({Booking.revision: Booking.revision + 1, **unchanged})
    )


def _count_revision(booking: Booking) -> None:
    """Increment the revision of the booking if it was changed."""
    if db.session.is_modified(booking):
        booking.revision += 1
