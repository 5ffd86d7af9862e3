"""Who there is (users, clients), and what proves it (logins, and the tokens given out on them)."""

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
from sqlalchemy.orm import Mapped, mapped_column, validates

from automart.core.db import Model, Timestamped, utcnow
from automart.core.db_types import BigId, enum_column
from automart.core.text import casefold_key
from automart.web.fields import LONGEST_EMAIL

LONGEST_NAME = 100
LONGEST_CLIENT_ID = 50

DOCS_CLIENT = "docs"
"""The application that serves `/docs`."""
LOGIN_CLIENT = "login"
"""The application that whoever uses `/login` without naming one is taken to use."""
BUILT_IN_CLIENTS = frozenset({DOCS_CLIENT, LOGIN_CLIENT})


class User(Timestamped, Model):
    """A person. The database itself keeps the last active admin (see the migration)."""

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
            # The id of a deleted user is never given to another, on SQLite either.
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
        self.email_folded = casefold_key(email)
        return email

    @property
    def caller_id(self) -> str:
        return f"user:{self.id}"


class ClientKind(enum.StrEnum):
    SERVICE = "service"
    """A machine that acts for itself: it has a secret and scopes."""
    APPLICATION = "application"
    """A program by which people act: it has no secret, and redirect addresses."""


class Client(Timestamped, Model):
    """A machine, or an application that people use."""

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
    """One time that somebody proved who they are, and everything that was given out on it.

    Access tokens name it and are good while it is: ended, it takes them along, and the refresh
    tokens and the browser session too. `user_id` is null where a machine acts for itself.
    """

    __tablename__ = "login"
    __table_args__ = (
        Index(None, "user_id"),
        Index(None, "client_id"),
        Index(None, "expires_at"),
    )
    noun = "login"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class RefreshToken(Model):
    """A refresh token, as its hash. Good for one use; a second use ends its login."""

    __tablename__ = "refresh_token"
    __table_args__ = (Index(None, "login_id"),)
    noun = "refresh token"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    login_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("login.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    used_at: Mapped[datetime | None]


class AuthorizationCode(Model):
    """An authorization code, as its hash. Good for one use; a second use ends `login_id`."""

    __tablename__ = "authorization_code"
    __table_args__ = (
        Index(None, "client_id"),
        Index(None, "user_id"),
        Index(None, "login_id"),
        Index(None, "expires_at"),
    )
    noun = "authorization code"

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    redirect_uri: Mapped[str | None]
    code_challenge: Mapped[str] = mapped_column(String(128))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    login_id: Mapped[uuid.UUID | None] = mapped_column(
        Uuid, ForeignKey("login.id", ondelete="CASCADE")
    )


class SigningKey(Model):
    """A key that signs access tokens; after `retired_at` it only verifies, and not for long."""

    __tablename__ = "signing_key"
    noun = "signing key"

    kid: Mapped[str] = mapped_column(String(50), primary_key=True)
    public_jwk: Mapped[dict[str, Any]]
    sealed_private_key: Mapped[str] = mapped_column(String(1000))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    retired_at: Mapped[datetime | None]


class LoginThrottle(Model):
    """How much patience is used up with an account or an address: see `throttle`.

    `charged_until` is in milliseconds of the epoch, which both databases reckon with alike.
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
    """Something that concerns rights: who did what to whom, when, from where."""

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
