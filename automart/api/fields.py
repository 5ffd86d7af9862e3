"""Fields that are as strict as the contract: nothing is converted, what is stored is clean."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

from automart.db import LARGEST_ID

# Control characters, and surrogates, which no encoding of a database can hold.
_UNPRINTABLE = {"Cc", "Cs"}
_WHOLE_NUMBER = re.compile(r"-?\d{1,400}", re.ASCII)


def clean(text: str) -> str:
    """`text` trimmed and NFC-normalized. Raises `ValueError` if it has control characters."""
    trimmed = text.strip()
    if any(unicodedata.category(character) in _UNPRINTABLE for character in trimmed):
        raise ValueError("Control characters are not allowed.")
    return unicodedata.normalize("NFC", trimmed)


class Text(fields.String):
    """A line of text: trimmed, not blank, without control characters."""

    def __init__(self, *, max_length: int, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(min=1, max=max_length), **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            cleaned = clean(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not cleaned:
            raise ValidationError("Must not be blank.")
        return cleaned


class Id(fields.Integer):
    """An id: a JSON integer from 1 to the largest that a database holds."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(min=1, max=LARGEST_ID), **kwargs)


class QueryInteger(fields.Integer):
    """An integer in a query string, where everything is text: digits and nothing else."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not _WHOLE_NUMBER.fullmatch(str(value)):
            raise ValidationError("Not a valid integer.")
        return int(value)


class QueryId(QueryInteger):
    """An id in a query string."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(min=1, max=LARGEST_ID), **kwargs)


class Flag(fields.Boolean):
    """`true` or `false`, and not `1` or `"yes"`."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Not a valid boolean.")
        return value


class Number(fields.Float):
    """A JSON number: finite, and no text that looks like one."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> float:
        if not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **kwargs)


class QueryFlag(fields.Boolean):
    """`true` or `false` in a query string."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise ValidationError("Must be true or false.")
        return bool(value == "true")


class UtcTime(fields.AwareDateTime):
    """An RFC 3339 time; read with any offset, written in UTC with a `Z`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", default_timezone=None, **kwargs)

    def _serialize(self, value: datetime | None, *_args: Any, **_kwargs: Any) -> str | None:
        return None if value is None else rfc3339(value)


def rfc3339(value: datetime) -> str:
    """`value` in UTC, as RFC 3339 §5.6 writes it."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
