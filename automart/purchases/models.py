"""Tables of purchases and of the history of their states.

The database itself enforces the order of the states (a trigger, see the migration), and that a
purchase reaches each state once (a unique index of the history).
"""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from automart.catalogue.models import LONGEST_NAME as LONGEST_MODEL_NAME
from automart.catalogue.models import VehicleMake
from automart.core.db import Model, Timestamped, utcnow
from automart.core.db_types import BigId, enum_column

LONGEST_ORDER_NUMBER = 100


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
    """A car that a regional office has sold.

    `car_model` is the model's name in the catalogue at the time of the sale.
    """

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
        enum_column(PurchaseState), default=PurchaseState.ORDERED
    )

    make: Mapped[VehicleMake] = relationship(lazy="joined", innerjoin=True)
    history: Mapped[list[PurchaseChange]] = relationship(
        lazy="selectin", order_by="PurchaseChange.id"
    )

    @property
    def brand(self) -> str:
        return self.make.name


class PurchaseChange(Model):
    """A change of state. `previous_state` is null for the first one."""

    __tablename__ = "purchase_change"
    __table_args__ = (
        Index("uq_purchase_change_state", "purchase_id", "state", unique=True),
        {"sqlite_autoincrement": True},
    )
    noun = "change of a purchase"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    purchase_id: Mapped[int] = mapped_column(ForeignKey("purchase.id", ondelete="CASCADE"))
    previous_state: Mapped[PurchaseState | None] = mapped_column(
        enum_column(PurchaseState, name="previous_state")
    )
    state: Mapped[PurchaseState] = mapped_column(enum_column(PurchaseState))
    at: Mapped[datetime] = mapped_column(default=utcnow)
