"""Tables of notices, which are also the outbox of their messages, and of the makes in them."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from automart.core.db import Model, utcnow
from automart.core.db_types import BigId, enum_column


class NoticeState(enum.StrEnum):
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class Notice(Model):
    """A message to the operators, and its way to the services of NOTIFY_URLS.

    There is one for each `subject`. `accepted_by` has a fingerprint of each URL whose service has
    accepted it, with the time, so that a retry leaves these out.
    """

    __tablename__ = "notice"
    __table_args__ = (
        CheckConstraint(
            "(next_attempt_at IS NOT NULL) = (state = 'pending')", name="next_attempt_at"
        ),
        CheckConstraint("(ended_at IS NULL) = (state = 'pending')", name="ended_at"),
        Index("uq_notice_subject", "subject", unique=True),
        Index(None, "state", "next_attempt_at"),
        Index(None, "ended_at"),
    )
    noun = "notice"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    subject: Mapped[str] = mapped_column(String(100))
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[NoticeState] = mapped_column(
        enum_column(NoticeState), default=NoticeState.PENDING
    )
    accepted_by: Mapped[dict[str, Any]] = mapped_column(default=dict)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    next_attempt_at: Mapped[datetime | None] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]


class ReportedMake(Model):
    """A make that a notice has reported as held. The row is deleted when a notice says that it no
    longer is.

    `make_id` is not a foreign key: the deletion of a make is reported too.
    """

    __tablename__ = "reported_make"
    noun = "reported make"

    make_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    make_name: Mapped[str] = mapped_column(String(255))
    reported_at: Mapped[datetime] = mapped_column(default=utcnow)
