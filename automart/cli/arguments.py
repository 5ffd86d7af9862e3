"""Arguments that several commands take."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import typer

from automart.core.db_types import LARGEST_ID


def make_id(text: str) -> int:
    """Parse an NHTSA id."""
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) or not 1 <= int(text) <= LARGEST_ID:
        raise typer.BadParameter(f"{text!r} is not an id: ids are whole numbers above 0.")
    return int(text)


def time(text: str) -> datetime:
    """Parse a time, or a day. It is in UTC if it has no offset."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter("Must be like 2026-01-15T08:30Z or 2026-01-15.") from None
