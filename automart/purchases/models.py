"""Offices and manufacturers, what offices have sold, and what is told them of it.

That a purchase goes through its states in their order is kept by the database itself (a trigger;
see the migration), and that a state is reached once (a unique index of its history).
"""

from __future__ import annotations

import enum
from datetime import datetime

import uuid6
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from automart.accounts.models import LONGEST_CLIENT_ID
from automart.background.models import state_column
from automart.catalogue.models import LONGEST_NAME as LONGEST_MODEL_NAME
from automart.catalogue.models import VehicleMake
from automart.db import BigId, Model, Timestamped, utcnow

LONGEST_NAME = 200
LONGEST_URL = 2000
LONGEST_ORDER_NUMBER = 100
LONGEST_RESPONSE = 2048
LONGEST_ERROR = 500


class RegionalOffice(Model):
    """An office that sells. `failing_since`: when the first of nothing but failures was, of the
    deliveries to its webhook."""

    __tablename__ = "regional_office"
    __table_args__ = (CheckConstraint("name <> ''", name="name"), {"sqlite_autoincrement": True})
    noun = "regional office"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    webhook_url: Mapped[str | None] = mapped_column(String(LONGEST_URL))
    webhook_enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    failing_since: Mapped[datetime | None]

    @property
    def can_be_told(self) -> bool:
        """Whether its webhook is called at all."""
        return self.webhook_enabled and self.webhook_url is not None


class WebhookSecret(Model):
    """What deliveries to an office are signed with, sealed. A retired one signs for a while yet."""

    __tablename__ = "webhook_secret"
    __table_args__ = (Index(None, "regional_office_id"), Index(None, "retired_at"))
    noun = "webhook secret"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    regional_office_id: Mapped[int] = mapped_column(
        ForeignKey("regional_office.id", ondelete="CASCADE")
    )
    sealed: Mapped[str] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    retired_at: Mapped[datetime | None]


manufacturer_make = Table(
    "manufacturer_make",
    Model.metadata,
    Column("manufacturer_id", ForeignKey("manufacturer.id", ondelete="CASCADE"), primary_key=True),
    Column("make_id", ForeignKey("vehicle_make.id", ondelete="RESTRICT"), primary_key=True),
    Index(None, "make_id"),
)


class Manufacturer(Model):
    """Who makes the cars of some makes."""

    __tablename__ = "manufacturer"
    __table_args__ = (CheckConstraint("name <> ''", name="name"), {"sqlite_autoincrement": True})
    noun = "manufacturer"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))

    makes: Mapped[list[VehicleMake]] = relationship(
        secondary=manufacturer_make, lazy="selectin", order_by=VehicleMake.id, passive_deletes=True
    )

    @property
    def make_ids(self) -> list[int]:
        return [make.id for make in self.makes]


class PartnerClient(Model):
    """For whom a client speaks: for one office or for one manufacturer."""

    __tablename__ = "partner_client"
    __table_args__ = (
        CheckConstraint(
            "(regional_office_id IS NULL) <> (manufacturer_id IS NULL)", name="one_partner"
        ),
        Index(None, "regional_office_id"),
        Index(None, "manufacturer_id"),
    )
    noun = "client of a partner"

    client_id: Mapped[str] = mapped_column(
        String(LONGEST_CLIENT_ID), ForeignKey("client.id", ondelete="CASCADE"), primary_key=True
    )
    regional_office_id: Mapped[int | None] = mapped_column(
        ForeignKey("regional_office.id", ondelete="CASCADE")
    )
    manufacturer_id: Mapped[int | None] = mapped_column(
        ForeignKey("manufacturer.id", ondelete="CASCADE")
    )


class PurchaseState(enum.StrEnum):
    ORDERED = "ordered"
    MANUFACTURING = "manufacturing"
    MANUFACTURED = "manufactured"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"

    @property
    def followers(self) -> frozenset[PurchaseState]:
        """The states that may come next."""
        return _FOLLOWERS[self]


_FOLLOWERS = {
    PurchaseState.ORDERED: frozenset({PurchaseState.MANUFACTURING, PurchaseState.CANCELLED}),
    PurchaseState.MANUFACTURING: frozenset({PurchaseState.MANUFACTURED, PurchaseState.CANCELLED}),
    PurchaseState.MANUFACTURED: frozenset({PurchaseState.SHIPPED}),
    PurchaseState.SHIPPED: frozenset({PurchaseState.DELIVERED}),
    PurchaseState.DELIVERED: frozenset[PurchaseState](),
    PurchaseState.CANCELLED: frozenset[PurchaseState](),
}


class Purchase(Timestamped, Model):
    """A car that an office has sold and a manufacturer makes. `car_model` is the catalogue's
    spelling at that time."""

    __tablename__ = "purchase"
    __table_args__ = (
        CheckConstraint("external_order_number <> ''", name="external_order_number"),
        Index(
            "uq_purchase_order_number",
            "regional_office_id",
            "external_order_number",
            unique=True,
            info={"problem": "This office has a purchase with this order number already."},
        ),
        Index(None, "regional_office_id", "id"),
        Index(None, "regional_office_id", "state", "id"),
        Index(None, "regional_office_id", "make_id", "id"),
        Index(None, "make_id", "id"),
        Index(None, "make_id", "state", "id"),
        Index(None, "state", "id"),
        {
            "sqlite_autoincrement": True,
            "info": {"triggers": {"purchase_state_follows": "This state does not follow."}},
        },
    )
    noun = "purchase"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    regional_office_id: Mapped[int] = mapped_column(
        ForeignKey("regional_office.id", ondelete="RESTRICT")
    )
    external_order_number: Mapped[str] = mapped_column(String(LONGEST_ORDER_NUMBER))
    make_id: Mapped[int] = mapped_column(ForeignKey("vehicle_make.id", ondelete="RESTRICT"))
    car_model: Mapped[str] = mapped_column(String(LONGEST_MODEL_NAME))
    state: Mapped[PurchaseState] = mapped_column(
        state_column(PurchaseState), default=PurchaseState.ORDERED
    )

    make: Mapped[VehicleMake] = relationship(lazy="joined", innerjoin=True)
    history: Mapped[list[PurchaseChange]] = relationship(
        lazy="selectin", order_by="PurchaseChange.id"
    )

    @property
    def brand(self) -> str:
        return self.make.name


class PurchaseChange(Model):
    """A purchase came into a state; `previous_state` is null for the first one."""

    __tablename__ = "purchase_change"
    __table_args__ = (
        Index("uq_purchase_change_state", "purchase_id", "state", unique=True),
        {"sqlite_autoincrement": True},
    )
    noun = "change of a purchase"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    purchase_id: Mapped[int] = mapped_column(ForeignKey("purchase.id", ondelete="CASCADE"))
    previous_state: Mapped[PurchaseState | None] = mapped_column(
        state_column(PurchaseState, name="previous_state")
    )
    state: Mapped[PurchaseState] = mapped_column(state_column(PurchaseState))
    at: Mapped[datetime] = mapped_column(default=utcnow)


class DeliveryState(enum.StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


_PENDING = text("state = 'pending'")


class WebhookDelivery(Model):
    """A change of a purchase, on its way to the office.

    `next_attempt_at` is null once it has ended, and while an earlier change of the same purchase is
    on its way. `tries` are those since it was last ordered; `attempts` are all of them.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        CheckConstraint("next_attempt_at IS NULL OR state = 'pending'", name="next_attempt_at"),
        CheckConstraint("(ended_at IS NULL) = (state = 'pending')", name="ended_at"),
        Index("uq_webhook_delivery_webhook_id", "webhook_id", unique=True),
        Index("uq_webhook_delivery_change_id", "change_id", unique=True),
        Index(
            "ix_webhook_delivery_due",
            "regional_office_id",
            "next_attempt_at",
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
        Index(
            "ix_webhook_delivery_pending",
            "purchase_id",
            "id",
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
        Index(None, "purchase_id"),
        Index(None, "regional_office_id", "id"),
        Index(None, "regional_office_id", "state", "id"),
        Index(None, "state", "id"),
        Index(None, "created_at"),
        Index(None, "ended_at"),
        {"sqlite_autoincrement": True},
    )
    noun = "webhook delivery"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    webhook_id: Mapped[str] = mapped_column(String(50), default=lambda: f"msg_{uuid6.uuid7().hex}")
    regional_office_id: Mapped[int] = mapped_column(
        ForeignKey("regional_office.id", ondelete="RESTRICT")
    )
    purchase_id: Mapped[int] = mapped_column(ForeignKey("purchase.id", ondelete="CASCADE"))
    change_id: Mapped[int] = mapped_column(ForeignKey("purchase_change.id", ondelete="CASCADE"))
    request_id: Mapped[str | None] = mapped_column(String(128))
    state: Mapped[DeliveryState] = mapped_column(
        state_column(DeliveryState), default=DeliveryState.PENDING
    )
    tries: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]

    attempts: Mapped[list[DeliveryAttempt]] = relationship(
        lazy="selectin", order_by="DeliveryAttempt.id", passive_deletes=True
    )


class DeliveryAttempt(Model):
    """One try of a delivery: the answer's status and beginning, or why there was none."""

    __tablename__ = "delivery_attempt"
    __table_args__ = (
        CheckConstraint("(status IS NULL) = (error IS NOT NULL)", name="outcome"),
        Index(None, "delivery_id", "id"),
    )
    noun = "attempt"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("webhook_delivery.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    status: Mapped[int | None] = mapped_column(Integer)
    response: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(String(LONGEST_ERROR))
