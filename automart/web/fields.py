"""Strict fields: values are not converted between types, and text is normalized."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from marshmallow import ValidationError, fields, validate

from automart.core.db_types import LARGEST_ID
from automart.core.text import (
    casefold_key,
    clean,
    domain_in_ascii,
    email_key,
    is_invisible,
    name_key,
    trim,
)
from automart.web.types import Values

LONGEST_EMAIL = 254
ANY_SPELLING = "The whole name, in any case, with any kind of apostrophe and any number of spaces."
# Something visible, and no control characters. What is also invisible, no pattern lists readably.
TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
LONGEST_LOCAL_PART = 64  # octets, RFC 5321 §4.5.3.1.1

_DATE_AND_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:(?P<second>\d\d)(\.\d+)?"
_OFFSET = r"(?P<offset_hour>\d\d):(?P<offset_minute>\d\d)"
_RFC_3339 = re.compile(rf"{_DATE_AND_TIME}(Z|[+-]{_OFFSET})", re.ASCII | re.IGNORECASE)
_WITH_LOST_PLUS = re.compile(rf"{_DATE_AND_TIME} {_OFFSET}", re.ASCII | re.IGNORECASE)
_WITHOUT_OFFSET = re.compile(_DATE_AND_TIME, re.ASCII | re.IGNORECASE)
_EXPECTED_TIME = "Must be a time with an offset, like 2026-01-15T00:00:00Z."
_WHOLE_NUMBER = re.compile(r"-?\d{1,400}", re.ASCII)


class QueryText(fields.String):
    """Text in a query, normalized like stored text. Invisible text is refused."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            cleaned = clean(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not cleaned:
            raise ValidationError("Must not be blank.")
        return cleaned


class QueryKey(QueryText):
    """Text in a query that is compared with whole values in any case. It is loaded as the key."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return casefold_key(super()._deserialize(value, *args, **kwargs))


class QueryEmail(QueryText):
    """An e-mail address in a query. It is loaded as the form in which addresses are compared."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return email_key(super()._deserialize(value, *args, **kwargs))


class QueryName(QueryText):
    """The name of a make or model in a query, loaded as its key. Optional."""

    def __init__(self) -> None:
        super().__init__(load_default=None, metadata={"description": ANY_SPELLING})

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return name_key(super()._deserialize(value, *args, **kwargs))


class Text(QueryText):
    """A line of text: trimmed, not blank, without control characters."""

    def __init__(self, *, max_length: int, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(min=1, max=max_length), **kwargs)


class EmailAddress(Text):
    """An e-mail address whose domain IDNA 2008 allows (RFC 5891). It is stored as written."""

    def __init__(self, *, metadata: Values | None = None, **kwargs: Any) -> None:
        metadata = {"format": "email"} | (metadata or {})
        super().__init__(max_length=LONGEST_EMAIL, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        address = super()._deserialize(value, *args, **kwargs)
        local, _, domain = address.rpartition("@")
        if len(local.encode()) > LONGEST_LOCAL_PART:
            raise ValidationError("The part before the @ may have 64 octets.")
        try:
            validate.Email()(f"{local}@{domain_in_ascii(domain)}")
        except ValueError:
            raise ValidationError(validate.Email.default_message) from None
        if any(map(is_invisible, address)):
            raise ValidationError(validate.Email.default_message)
        return address


class PhoneNumber(Text):
    """A phone number in any notation, without invisible characters other than blanks."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        number = super()._deserialize(value, *args, **kwargs)
        if any(is_invisible(c) and not c.isspace() for c in number):
            raise ValidationError("Must not contain invisible characters.")
        return number


# Above it, two integers can be one floating-point number.
FIRST_INEXACT_FLOAT = 2.0**53


class Integer(fields.Integer):
    """A JSON integer. JSON and JSON Schema do not distinguish 7 and 7.0."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) < FIRST_INEXACT_FLOAT:
            value = int(value)
        number: int = super()._deserialize(value, *args, **kwargs)
        return number


class Id(Integer):
    """An id: a JSON integer from 1 to the largest that a database holds."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(min=1, max=LARGEST_ID), **kwargs)


class QueryInteger(fields.Integer):
    """An integer in a query string, where everything is text: digits and nothing else."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not _WHOLE_NUMBER.fullmatch(str(value)):
            raise ValidationError("Not a valid integer.")
        return int(value)


class Choice(fields.Enum[Any]):
    """A value of an enumeration, trimmed as every text."""

    def __init__(self, enum: type[StrEnum], **kwargs: Any) -> None:
        super().__init__(enum, by_value=True, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = trim(value) if isinstance(value, str) else value
        return super()._deserialize(text, *args, **kwargs)


class QueryEnum(Choice):
    """A value of an enumeration in a query, in any case. Optional."""

    def __init__(self, enum: type[StrEnum], *, metadata: Values) -> None:
        super().__init__(enum, load_default=None, metadata=metadata)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize(str(value).lower(), *args, **kwargs)


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
    """A finite JSON number. Text that looks like a number is rejected."""

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


def _time_problem(text: str) -> str:
    """Return what is wrong with a time that is not one of RFC 3339."""
    if _WITH_LOST_PLUS.fullmatch(text):
        return "The offset's + arrived as a blank. Write it as %2B in a query."
    if _WITHOUT_OFFSET.fullmatch(text):
        return "The offset is missing: Z for UTC, or one like +02:00."
    return _EXPECTED_TIME


class UtcTime(fields.DateTime):
    """An RFC 3339 time. It is read with any offset, and written in UTC with a `Z`."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> datetime:
        if not isinstance(value, str):
            raise ValidationError(_EXPECTED_TIME)
        text = trim(value)
        found = _RFC_3339.fullmatch(text)
        if not found:
            raise ValidationError(_time_problem(text))
        if found["second"] == "60":
            raise ValidationError("Leap seconds are not supported.")
        if (found["offset_hour"] or "00") > "23" or (found["offset_minute"] or "00") > "59":
            raise ValidationError("The offset's hours end at 23 and its minutes at 59.")
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except ValueError:
            raise ValidationError("There is no such day or time of day.") from None
        except OverflowError:
            raise ValidationError("Must be in the years 1 to 9999, in UTC.") from None

    def _serialize(self, value: datetime | None, *_args: Any, **_kwargs: Any) -> str | None:
        return None if value is None else rfc3339(value)


def rfc3339(value: datetime) -> str:
    """Return a time in UTC, in the format of RFC 3339 §5.6."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return f"{value.isoformat()[:-6]}Z"
