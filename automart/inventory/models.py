"""Tables of dealers, cars and bookings.

The database itself rejects confirmed bookings of a car that overlap (an exclusion constraint on
PostgreSQL, triggers on SQLite; see the migration).
"""

from __future__ import annotations

import enum
import uuid
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    String,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from automart.catalogue.models import LONGEST_NAME, VehicleMake
from automart.core.db import Model, Timestamped, time_of_creation, utcnow
from automart.core.db_types import BigId, Money, enum_column
from automart.core.text import email_key, name_key
from automart.web.fields import LONGEST_EMAIL

LONGEST_TEXT = 200
FIRST_YEAR = 1901
PRICE_LIMIT = 10_000_000
"""Prices are less than this, so that JSON numbers are exact for every total."""
DAY = timedelta(days=1)

# SQLite would otherwise give the id of a deleted row to a new one.
_IDS_ARE_NOT_REUSED = {"sqlite_autoincrement": True}

_CONFIRMED = text("status = 'confirmed'")
_RANGE = ("start_datetime", "end_datetime", "id")
LENGTHS = (2, 31, 366)
"""The days above which bookings are in an index of long bookings."""


def longer_than(days: int) -> dict[str, str]:
    """Return the condition that a booking is longer, by database.

    A query must contain it as it is, so that the index of these bookings can serve it.
    """
    return {
        "postgresql": f"end_datetime - start_datetime > interval '{days} days'",
        "sqlite": f"julianday(end_datetime) - julianday(start_datetime) > {days}",
    }


class Dealer(Model):
    """A dealer, who has cars."""

    __tablename__ = "dealer"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name"),
        _IDS_ARE_NOT_REUSED,
    )
    noun = "dealer"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_TEXT))
    location: Mapped[str] = mapped_column(String(LONGEST_TEXT))


class CarStatus(enum.StrEnum):
    AVAILABLE = "available"
    MAINTENANCE = "maintenance"


class Car(Model):
    """A car of a dealer. It refers to a make of the catalogue, but keeps the name of its model.

    Filters compare `model_folded`.
    """

    __tablename__ = "car"
    __table_args__ = (
        CheckConstraint(f"year >= {FIRST_YEAR}", name="year"),
        CheckConstraint("daily_price > 0", name="daily_price"),
        CheckConstraint("length(vin) = 17 AND vin = upper(vin)", name="vin"),
        Index(
            "uq_car_vin",
            "vin",
            unique=True,
            info={"problem": "There is a car with this VIN already."},
        ),
        Index(None, "make_id", "id"),
        Index(None, "model_folded", "id"),
        Index(None, "year", "id"),
        Index(None, "dealer_id", "id"),
        Index(None, "status", "id"),
        Index(None, "daily_price"),
        _IDS_ARE_NOT_REUSED,
    )
    noun = "car"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    make_id: Mapped[int] = mapped_column(ForeignKey("vehicle_make.id", ondelete="RESTRICT"))
    model: Mapped[str] = mapped_column(String(LONGEST_NAME))
    model_folded: Mapped[str] = mapped_column(String(LONGEST_NAME * 3))
    year: Mapped[int] = mapped_column(Integer)
    color: Mapped[str] = mapped_column(String(LONGEST_TEXT))
    daily_price: Mapped[Decimal] = mapped_column(Money(9))
    vin: Mapped[str] = mapped_column(String(17))
    status: Mapped[CarStatus] = mapped_column(
        enum_column(CarStatus, name="status"), default=CarStatus.AVAILABLE
    )
    dealer_id: Mapped[int] = mapped_column(ForeignKey("dealer.id", ondelete="RESTRICT"))
    # Null only if the release before these columns adds a row while both releases run.
    created_at: Mapped[datetime] = mapped_column(default=utcnow, nullable=True, sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        default=time_of_creation, onupdate=utcnow, nullable=True, sort_order=2
    )

    make: Mapped[VehicleMake] = relationship(lazy="joined", innerjoin=True)

    @property
    def brand(self) -> str:
        return self.make.name

    @validates("model")
    def _fold_model(self, _key: str, model: str) -> str:
        self.model_folded = name_key(model)
        return model


class BookingStatus(enum.StrEnum):
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class Booking(Timestamped, Model):
    """A car for a customer, from `start_datetime` up to but not including `end_datetime`.

    `daily_price` is the price of the car at the time of booking. `car_id` and `customer_id` become
    null when the car or the customer is deleted. `uid` and `revision` identify the booking and its
    version in calendars (RFC 5545).
    """

    __tablename__ = "booking"
    __table_args__ = (
        CheckConstraint("start_datetime < end_datetime", name="period"),
        CheckConstraint("daily_price > 0", name="daily_price"),
        CheckConstraint("total_price > 0", name="total_price"),
        # For `availability`: the confirmed bookings of a car, ordered by time.
        Index(
            "ix_booking_confirmed",
            "car_id",
            "start_datetime",
            "end_datetime",
            sqlite_where=_CONFIRMED,
            postgresql_where=_CONFIRMED,
        ),
        Index(None, "car_id", "id"),
        Index(None, "customer_id", "id"),
        Index(None, "customer_email_folded", "id"),
        Index(None, "status", "id"),
        # For `overlaps`: bookings by time, and the long ones again.
        Index(None, *_RANGE),
        *(
            Index(
                f"ix_booking_over_{days}_days",
                *_RANGE,
                sqlite_where=text(longer_than(days)["sqlite"]),
                postgresql_where=text(longer_than(days)["postgresql"]),
            )
            for days in LENGTHS
        ),
        _IDS_ARE_NOT_REUSED
        | {"info": {"triggers": {"no_double_booking": "The car is booked within these dates."}}},
    )
    noun = "booking"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    car_id: Mapped[int | None] = mapped_column(ForeignKey("car.id", ondelete="SET NULL"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"))
    customer_name: Mapped[str] = mapped_column(String(LONGEST_TEXT))
    customer_email: Mapped[str | None] = mapped_column(String(LONGEST_EMAIL))
    customer_email_folded: Mapped[str | None] = mapped_column(String(LONGEST_EMAIL * 3))
    start_datetime: Mapped[datetime]
    end_datetime: Mapped[datetime]
    status: Mapped[BookingStatus] = mapped_column(
        enum_column(BookingStatus, name="status"), default=BookingStatus.CONFIRMED
    )
    daily_price: Mapped[Decimal] = mapped_column(Money(9))
    total_price: Mapped[Decimal] = mapped_column(Money(16))
    uid: Mapped[uuid.UUID] = mapped_column(Uuid, default=uuid.uuid4)
    revision: Mapped[int] = mapped_column(Integer, default=0)

    @validates("customer_email")
    def _fold_email(self, _key: str, email: str | None) -> str | None:
        self.customer_email_folded = None if email is None else email_key(email)
        return email

    @property
    def is_cancelled(self) -> bool:
        return self.status is BookingStatus.CANCELLED

    def set_price(self) -> None:
        """Charge `daily_price` for each started period of 24 hours."""
        self.total_price = self.daily_price * started_days(self.start_datetime, self.end_datetime)


def started_days(start: datetime, end: datetime) -> int:
    """Return the number of 24-hour periods that start between `start` and `end`.

    A day of a clock change counts like any other: as 24 hours.
    """
    return -((start - end) // DAY)
