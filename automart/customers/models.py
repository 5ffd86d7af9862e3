"""Customers, and the photo files that no customer has."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, validates

from automart.core.db import Model, Timestamped, utcnow
from automart.core.db_types import BigId
from automart.customers.folding import search_text
from automart.web.fields import LONGEST_EMAIL

LONGEST_NAME = 50
LONGEST_PHONE = 50
TOKEN_BYTES = 16
TOKEN_LENGTH = 2 * TOKEN_BYTES


class Customer(Timestamped, Model):
    """A person who buys or rents. `search_text` is kept in step by the row itself."""

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
        # The id of a deleted customer is never given to another, on SQLite either.
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
    def _fold(self, changed: str, value: str | None) -> str | None:
        found: dict[str, Any] = {
            name: getattr(self, name) for name in ("first_name", "last_name", "email")
        }
        found[changed] = value
        self.search_text = search_text(
            found["first_name"] or "", found["last_name"] or "", found["email"]
        )
        return value


class OrphanedPhoto(Model):
    """A photo file that no customer has: on its way in, or, `is_doomed`, on its way out.

    The row is there before the file is, and goes after it: a file without a customer is found here,
    and no list of all files is ever needed. Once doomed, no customer can be given it.
    """

    __tablename__ = "loose_photo"
    __table_args__ = (Index(None, "created_at"),)
    noun = "photo"

    token: Mapped[str] = mapped_column(String(TOKEN_LENGTH), primary_key=True)
    is_doomed: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
