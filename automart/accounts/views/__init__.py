"""The endpoints of users, clients and the audit trail."""

from __future__ import annotations

from automart.accounts.views import audit_events, clients, sessions, users
from automart.accounts.views.blueprint import blp

__all__ = ["audit_events", "blp", "clients", "sessions", "users"]
