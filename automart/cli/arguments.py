"""Arguments that several commands take."""

from __future__ import annotations

import re

import typer

from automart.core.db_types import LARGEST_ID


def make_id(text: str) -> int:
    """Parse an NHTSA id."""
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) or not 1 <= int(text) <= LARGEST_ID:
        raise typer.BadParameter(f"{text!r} is not an id: ids are whole numbers above 0.")
    return int(text)
