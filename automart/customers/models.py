"""Customers, and photo files that belong to no customer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, validates

from automart.core.db import Model, Timestamped, utcnow
from automart.core.db_types import BigId
from automart.customers.search_text import search_text
from automart.web.fields import LONGEST_EMAIL

LONGEST_NAME = 50
LONGEST_PHONE = 50
TOKEN_BYTES = 16
TOKEN_LENGTH = 2 * TOKEN_BYTES


class Customer(Timestamped, Model):
    """A person who buys or rents. `search_text` follows the fields that are searched."""

    __tablename__ = "customer"
    __table_args__ = (
        CheckConstraint("first_name <> ''", name="first_name"),
        CheckConstraint("last_name <> ''", name="last_name"),
        Index(None, "created_by"),
        Index(None, "updated_by"),
        Index("uq_customer_photo_token", "photo_token", unique=True),
        Index(
            "ix_customer_search_text",
            "search_text",
            postgresql_using="gin",
            postgresql_ops={"search_text": "gin_trgm_ops"},
            info={"only_on": "postgresql"},
        ),
        Index(
            "ix_customer_short_parts",
            text("short_parts(search_text)"),
            postgresql_using="gin",
            info={"only_on": "postgresql"},
        ),
        # SQLite, too, never uses the id of a deleted customer again.
        {"sqlite_autoincrement": True},
    )
    noun = "customer"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    first_name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    last_name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    email: Mapped[str | None] = mapped_column(String(LONGEST_EMAIL))
    phone: Mapped[str | None] = mapped_column(String(LONGEST_PHONE))
    search_text: Mapped[str] = mapped_column(Text)
    photo_token: Mapped[str | None] = mapped_column(String(TOKEN_LENGTH))
    created_by: Mapped[int | None] = mapped_column(
        ForeignKey("user_account.id", ondelete="SET NULL")
    )
    updated_by: Mapped[int | None] = mapped_column(
        ForeignKey("user_account.id", ondelete="SET NULL")
    )

    @validates("first_name", "last_name", "email")
    def _update_search_text(self, changed: str, value: str | None) -> str | None:
        values: dict[str, Any] = {
            name: getattr(self, name) for name in ("first_name", "last_name", "email")
        }
        values[changed] = value
        self.search_text = search_text(
            values["first_name"] or "", values["last_name"] or "", values["email"]
        )
        return value


class OrphanedPhoto(Model):
    """A photo file that belongs to no customer: it is being uploaded, or is pending deletion.

    The row is written before the file and deleted after it. So files without a customer are found
    without listing the storage. A file that is pending deletion cannot be attached any more.
    """

    __tablename__ = "loose_photo"
    __table_args__ = (Index(None, "created_at"),)
    noun = "photo"

    token: Mapped[str] = mapped_column(String(TOKEN_LENGTH), primary_key=True)
    pending_deletion: Mapped[bool] = mapped_column(
        "is_doomed",  # codespell:ignore
        Boolean,
        default=False,
    )
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
