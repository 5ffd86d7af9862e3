"""Tables of webhooks: endpoints, the secrets that sign for them, deliveries and their attempts."""

from __future__ import annotations

import enum
from datetime import datetime

import uuid6
from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from automart.core.db import Model, utcnow
from automart.core.db_types import BigId, enum_column

LONGEST_URL = 2000
LONGEST_SUBJECT = 100
LONGEST_EVENT_TYPE = 100
LONGEST_RESPONSE = 2048
LONGEST_ERROR = 500


class WebhookEndpoint(Model):
    """Where the webhooks of one regional office are sent.

    `failing_since` is the start of the current unbroken run of failed attempts.
    """

    __tablename__ = "webhook_endpoint"
    __table_args__ = (
        Index("uq_webhook_endpoint_regional_office_id", "regional_office_id", unique=True),
        {"sqlite_autoincrement": True},
    )
    noun = "webhook endpoint"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    # The owner. Its table is named and not imported: this package knows nothing of its owners.
    regional_office_id: Mapped[int] = mapped_column(
        ForeignKey("regional_office.id", ondelete="CASCADE")
    )
    url: Mapped[str | None] = mapped_column(String(LONGEST_URL))
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    failing_since: Mapped[datetime | None]

    @property
    def is_active(self) -> bool:
        """Whether webhooks are sent to it."""
        return self.enabled and self.url is not None

    @property
    def owner(self) -> str:
        """The owner as the audit trail and problem details name it."""
        return f"regional_office:{self.regional_office_id}"


class WebhookSecret(Model):
    """A secret that signs the webhooks of an endpoint, encrypted.

    A retired secret keeps signing beside its successor for a day.
    """

    __tablename__ = "webhook_secret"
    __table_args__ = (Index(None, "endpoint_id"), Index(None, "retired_at"))
    noun = "webhook secret"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoint.id", ondelete="CASCADE"))
    encrypted: Mapped[str] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    retired_at: Mapped[datetime | None]


class DeliveryState(enum.StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


_PENDING = text("state = 'pending'")


class WebhookDelivery(Model):
    """An event and its way to an endpoint.

    `type` and `body` are stored once and sent unchanged at every attempt. Events of one `subject`
    are delivered in the order of their ids. `next_attempt_at` is null once the delivery has ended,
    and while an earlier event of the same subject is pending. `tries` counts the attempts since the
    delivery was last requested; `attempts` are all of them.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        CheckConstraint("next_attempt_at IS NULL OR state = 'pending'", name="next_attempt_at"),
        CheckConstraint("(ended_at IS NULL) = (state = 'pending')", name="ended_at"),
        Index("uq_webhook_delivery_webhook_id", "webhook_id", unique=True),
        Index(
            "ix_webhook_delivery_due",
            "endpoint_id",
            "next_attempt_at",
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
        Index(
            "ix_webhook_delivery_pending",
            "endpoint_id",
            "subject",
            "id",
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
        Index(None, "endpoint_id", "id"),
        Index(None, "endpoint_id", "state", "id"),
        Index(None, "state", "id"),
        Index(None, "created_at"),
        Index(None, "ended_at"),
        {"sqlite_autoincrement": True},
    )
    noun = "webhook delivery"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    webhook_id: Mapped[str] = mapped_column(String(50), default=lambda: f"msg_{uuid6.uuid7().hex}")
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoint.id", ondelete="RESTRICT"))
    type: Mapped[str] = mapped_column(String(LONGEST_EVENT_TYPE))
    subject: Mapped[str] = mapped_column(String(LONGEST_SUBJECT))
    body: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(String(128))
    state: Mapped[DeliveryState] = mapped_column(
        enum_column(DeliveryState), default=DeliveryState.PENDING
    )
    tries: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]

    endpoint: Mapped[WebhookEndpoint] = relationship()
    attempts: Mapped[list[DeliveryAttempt]] = relationship(
        lazy="selectin", order_by="DeliveryAttempt.id", passive_deletes=True
    )


class DeliveryAttempt(Model):
    """One attempt of a delivery: the response's status and beginning, or the error."""

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
