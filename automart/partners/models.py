"""Tables of partners: regional offices, manufacturers, and the clients that act for them."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, String, Table
from sqlalchemy.orm import Mapped, mapped_column, relationship

from automart.accounts.models import LONGEST_CLIENT_ID
from automart.catalogue.models import VehicleMake
from automart.core.db import Model
from automart.core.db_types import BigId
from automart.webhooks.models import WebhookEndpoint

LONGEST_NAME = 200

OFFICE_SCOPE = "office"
MANUFACTURER_SCOPE = "manufacturer"


class RegionalOffice(Model):
    """An office that sells cars. Its endpoint is created and deleted with it."""

    __tablename__ = "regional_office"
    __table_args__ = (CheckConstraint("name <> ''", name="name"), {"sqlite_autoincrement": True})
    noun = "regional office"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))

    endpoint: Mapped[WebhookEndpoint] = relationship(
        lazy="joined", innerjoin=True, passive_deletes="all"
    )

    @property
    def webhook_url(self) -> str | None:
        return self.endpoint.url

    @property
    def webhook_enabled(self) -> bool:
        return self.endpoint.enabled


manufacturer_make = Table(
    "manufacturer_make",
    Model.metadata,
    Column("manufacturer_id", ForeignKey("manufacturer.id", ondelete="CASCADE"), primary_key=True),
    Column("make_id", ForeignKey("vehicle_make.id", ondelete="RESTRICT"), primary_key=True),
    Index(None, "make_id"),
)


class Manufacturer(Model):
    """A manufacturer of the cars of some makes."""

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
    """The partner that a client acts for: one office or one manufacturer."""

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
