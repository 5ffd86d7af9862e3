"""The audit trail: logins, failed logins, and changes of users, clients, secrets and keys."""

from __future__ import annotations

import enum
from typing import Any

import structlog
from flask import has_request_context, request

from automart.accounts.models import AuditEvent
from automart.core.db import db
from automart.web.authorization import current_caller_id

log = structlog.get_logger(__name__)

COMMAND_LINE = "command line"


class Event(enum.StrEnum):
    """The kinds of events in the audit trail."""

    LOGIN_SUCCEEDED = "login_succeeded"
    LOGIN_FAILED = "login_failed"
    LOGIN_ENDED = "login_ended"
    TOKEN_REUSED = "token_reused"  # noqa: S105 - the name of an event
    USER_CREATED = "user_created"
    USER_CHANGED = "user_changed"
    USER_DELETED = "user_deleted"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of an event
    CLIENT_CREATED = "client_created"
    CLIENT_CHANGED = "client_changed"
    CLIENT_DELETED = "client_deleted"
    CLIENT_SECRET_ROTATED = "client_secret_rotated"  # noqa: S105 - the name of an event
    KEYS_ROTATED = "keys_rotated"
    WEBHOOK_SECRET_ROTATED = "webhook_secret_rotated"  # noqa: S105 - the name of an event
    WEBHOOK_DISABLED = "webhook_disabled"


def record(
    kind: Event, *, subject: str | None = None, actor: str | None = None, **detail: Any
) -> None:
    """Add an event to the current transaction, and log it.

    The default `actor` is the current caller, or the command line outside of requests. `detail`
    must not contain secrets, or user input that could be a secret.
    """
    in_request = has_request_context()
    event = AuditEvent(
        kind=kind,
        actor=actor or (current_caller_id() if in_request else COMMAND_LINE),
        subject=subject,
        address=request.remote_addr if in_request else None,
        detail=detail or None,
    )
    db.session.add(event)
    log.info("audit", audit=str(kind), actor=event.actor, subject=subject, **detail)
