"""Refresh tokens, authorization codes and signing keys."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from automart.core.db import Model, utcnow

CODE_LIFETIME = timedelta(seconds=60)
"""The lifetime of an authorization code."""


class RefreshToken(Model):
    """A refresh token, stored as its hash. It can be used once. A second use ends its login."""

    __tablename__ = "refresh_token"
    __table_args__ = (Index(None, "login_id"),)
    noun = "refresh token"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    login_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("login.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    used_at: Mapped[datetime | None]


class AuthorizationCode(Model):
    """An authorization code, stored as its hash. It can be used once. A second use ends the login
    `login_id`, which the first one created."""

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
    """A key that signs access tokens. After `retired_at` it only verifies, and not for long."""

    __tablename__ = "signing_key"
    noun = "signing key"

    kid: Mapped[str] = mapped_column(String(50), primary_key=True)
    public_jwk: Mapped[dict[str, Any]]
    encrypted_private_key: Mapped[str] = mapped_column("sealed_private_key", String(1000))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    retired_at: Mapped[datetime | None]
