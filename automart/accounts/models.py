"""Users, clients, their logins, rate limits of failed logins, and the audit trail."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Any

import uuid6
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from automart.core.db import Model, Timestamped, utcnow
from automart.core.db_types import BigId, enum_column
from automart.core.text import email_key
from automart.web.fields import LONGEST_EMAIL

LONGEST_NAME = 100
LONGEST_CLIENT_ID = 50

GRANTABLE_SCOPES = ("catalogue", "metrics")
"""The scopes that administrators can grant. Clients of partners have others."""

DOCS_CLIENT = "docs"
"""The application that serves `/docs`."""
LOGIN_CLIENT = "login"
"""The application of logins by `/login`, which name none."""
BUILT_IN_CLIENTS = frozenset({DOCS_CLIENT, LOGIN_CLIENT})


class User(Timestamped, Model):
    """A person. A trigger keeps the last active administrator (see the migration)."""

    __tablename__ = "user_account"
    __table_args__ = (
        CheckConstraint("email <> ''", name="email"),
        Index(
            "uq_user_account_email_folded",
            "email_folded",
            unique=True,
            info={"problem": "There is a user with this e-mail address already."},
        ),
        {
            # SQLite, too, must never reuse the id of a deleted user.
            "sqlite_autoincrement": True,
            "info": {"triggers": {"last_active_admin": "This is the last active administrator."}},
        },
    )
    noun = "user"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    email: Mapped[str] = mapped_column(String(LONGEST_EMAIL))
    email_folded: Mapped[str] = mapped_column(String(LONGEST_EMAIL * 3))
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    password_hash: Mapped[str] = mapped_column(String(200))
    is_admin: Mapped[bool] = mapped_column(Boolean, default=False)
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)

    @validates("email")
    def _fold_email(self, _key: str, email: str) -> str:
        self.email_folded = email_key(email)
        return email

    @property
    def caller_id(self) -> str:
        return f"user:{self.id}"


class ClientKind(enum.StrEnum):
    SERVICE = "service"
    """Acts for itself. Has a secret and scopes."""
    APPLICATION = "application"
    """Acts for its users. Has redirect URIs and no secret."""


class Client(Timestamped, Model):
    """An OAuth client: a service client or an application."""

    __tablename__ = "client"
    __table_args__ = (
        CheckConstraint("(kind = 'service') = (secret_hash IS NOT NULL)", name="secret"),
    )
    noun = "client"

    id: Mapped[str] = mapped_column(
        String(LONGEST_CLIENT_ID), primary_key=True, default=lambda: uuid6.uuid7().hex
    )
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    kind: Mapped[ClientKind] = mapped_column(enum_column(ClientKind, name="kind"))
    secret_hash: Mapped[str | None] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON(none_as_null=True), default=list)
    redirect_uris: Mapped[list[str]] = mapped_column(JSON(none_as_null=True), default=list)
    is_active: Mapped[bool] = mapped_column(Boolean, default=True)

    @property
    def caller_id(self) -> str:
        return f"client:{self.id}"

    @property
    def is_built_in(self) -> bool:
        return self.id in BUILT_IN_CLIENTS


class Login(Model):
    """A successful authentication, and the common parent of the tokens issued for it.

    When it ends, its access tokens, refresh tokens and browser session become invalid. `user_id` is
    null for service clients, which act for themselves.
    """

    __tablename__ = "login"
    __table_args__ = (
        Index(None, "user_id"),
        Index(None, "client_id"),
        Index(None, "expires_at"),
    )
    noun = "login"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid6.uuid7)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    # Null in rows of releases that did not know these columns.
    last_used_at: Mapped[datetime | None]
    address: Mapped[str | None] = mapped_column(String(100))
    client: Mapped[Client] = relationship(viewonly=True, lazy="raise")

    @property
    def last_use(self) -> datetime:
        return self.last_used_at or self.created_at

    @property
    def application(self) -> str | None:
        """The name of the application; None for logins by the login page or `/login`."""
        return None if self.client_id == LOGIN_CLIENT else self.client.name

    @property
    def subject(self) -> str:
        """The caller id of its user, or of its service client."""
        return f"client:{self.client_id}" if self.user_id is None else f"user:{self.user_id}"


class LoginThrottle(Model):
    """How much of the limit of an account or an address is used up (see `login_throttle`).

    `charged_until` is in milliseconds since 1970. Both databases compute with integers alike.
    """

    __tablename__ = "login_throttle"
    __table_args__ = (Index(None, "charged_until"),)
    noun = "throttle"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    charged_until: Mapped[int] = mapped_column(BigInteger)


class FamiliarAddress(Model):
    """An address from which an account has been logged into. `key` is a hash of both."""

    __tablename__ = "familiar_address"
    __table_args__ = (Index(None, "seen_at"),)
    noun = "address"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)


class AuditEvent(Model):
    """A login, or a change of rights: what `actor` did to `subject`, when and from where."""

    __tablename__ = "audit_event"
    __table_args__ = (
        Index(None, "kind", "id"),
        Index(None, "subject", "id"),
        Index(None, "at"),
    )
    noun = "audit event"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    kind: Mapped[str] = mapped_column(String(50))
    actor: Mapped[str | None] = mapped_column(String(100))
    subject: Mapped[str | None] = mapped_column(String(100))
    address: Mapped[str | None] = mapped_column(String(100))
    detail: Mapped[dict[str, Any] | None]
