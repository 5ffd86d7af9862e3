"""Fields that several domains use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from marshmallow import ValidationError, fields

from automart.core.db_types import LARGEST_ID
from automart.web import Query, Schema
from automart.web.fields import (
    ANY_SPELLING,
    Choice,
    EmailAddress,
    Flag,
    Id,
    Integer,
    Number,
    PhoneNumber,
    QueryEmail,
    QueryEnum,
    QueryFlag,
    QueryId,
    QueryInteger,
    QueryKey,
    QueryName,
    QueryText,
    Text,
    UtcTime,
)
from tests.support.fields import refusal

NO_TIMES: dict[str, tuple[Any, ...]] = {
    "Must be a time with an offset, like 2026-01-15T00:00:00Z.": (
        *("", "now", "2026-01-15", "20260115T000000Z", "2026-W03-4T00:00:00Z"),
        *("2026-01-15T00:00Z", "T2026-01-15T00:00:00Z", "2026-01-15T00:00:00,5Z"),
        *("\u0662026-01-15T00:00:00Z", 1768435200, 1768435200.5, True, [], {}),
    ),
    "Field may not be null.": (None,),
    "The offset is missing: Z for UTC, or one like +02:00.": (
        *("2026-01-15T00:00:00", "2026-01-15 00:00:00.5"),
    ),
    "The offset's + arrived as a blank. Write it as %2B in a query.": (
        *("2026-01-15T00:00:00 02:00", "2026-01-15t00:00:00.5 02:00"),
    ),
    "Leap seconds are not supported.": ("2026-01-15T23:59:60Z",),
    "The offset's hours end at 23 and its minutes at 59.": (
        *("2026-01-15T00:00:00+24:00", "2026-01-15T00:00:00+25:00", "2026-01-15T00:00:00-23:60"),
    ),
    "There is no such day or time of day.": ("2026-02-29T00:00:00Z", "2026-01-15T24:30:00Z"),
    "Must be in the years 1 to 9999, in UTC.": (
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"),
    ),
}
RANGE = f"Must be greater than or equal to 1 and less than or equal to {LARGEST_ID}."
NO_EMAIL = "Not a valid email address."
NOT_FINITE = "Special numeric values (nan or infinity) are not permitted."
LONG_LOCAL_PART = "The part before the @ may have 64 octets."

# The tests make their fields: `make mutation` changes the code only while tests run.
NewField = Callable[[], fields.Field[Any]]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Moment(Schema):
    at = UtcTime()


class Search(Query):
    make_id = QueryId(load_default=None)
    q = QueryText(load_default=None)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-15T00:00:00Z", datetime(2026, 1, 15, tzinfo=UTC)),
        ("2026-01-15T01:30:00+01:30", datetime(2026, 1, 15, tzinfo=UTC)),
        ("2026-01-14T19:00:00-05:00", datetime(2026, 1, 15, tzinfo=UTC)),
        ("2026-01-15T23:59:00+23:59", datetime(2026, 1, 15, tzinfo=UTC)),
        (" 2026-01-15T00:00:00Z\u200b", datetime(2026, 1, 15, tzinfo=UTC)),
        ("2026-01-15t00:00:00z", datetime(2026, 1, 15, tzinfo=UTC)),
        ("2026-01-15 00:00:00.25Z", datetime(2026, 1, 15, 0, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-01-15T00:00:00.123456789Z", datetime(2026, 1, 15, 0, 0, 0, 123_456, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_with_any_offset_and_converted_to_utc(text: str, utc: datetime) -> None:
    at = Moment().load({"at": text})["at"]
    assert (at, at.tzinfo) == (utc, UTC)


@pytest.mark.parametrize(
    ("detail", "value"),
    [(detail, value) for detail, values in NO_TIMES.items() for value in values],
)
def test_a_value_that_is_not_a_time_with_an_offset_is_rejected(detail: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Moment().load({"at": value})
    assert refused.value.messages_dict == {"at": [detail]}


def test_a_time_is_written_in_utc() -> None:
    at = datetime.fromisoformat("2026-01-15T01:00:00+01:00")
    assert Moment().dump({"at": at}) == {"at": "2026-01-15T00:00:00Z"}


def test_an_empty_query_has_the_defaults() -> None:
    assert Search().load({}) == {"make_id": None, "q": None}


@pytest.mark.parametrize("value", ["0", "-1", "1.0", "", " 1", "1_000", "\uff19", str(2**63)])
def test_an_invalid_id_in_a_query_is_rejected(value: str) -> None:
    with pytest.raises(ValidationError):
        Search().load({"make_id": value})


def test_text_in_a_query_is_normalized_like_stored_text() -> None:
    assert Search().load({"q": " S\u030ckoda\n"})["q"] == "\u0160koda"
    for blank in (" ", "\u200b\u00ad"):
        with pytest.raises(ValidationError):
            Search().load({"q": blank})
    with pytest.raises(ValidationError):
        Search().load({"q": "a\u0000b"})


def test_an_integer_is_a_number_without_a_fraction() -> None:
    for value in (7, 7.0, 7e0):
        loaded = Integer().deserialize(value)
        assert (loaded, type(loaded)) == (7, int)
    for value in (7.5, 1e-9, 2.0**53, float("inf"), float("nan"), "7", True, None, [7]):
        with pytest.raises(ValidationError):
            Integer().deserialize(value)


@pytest.mark.parametrize(
    ("new_field", "value", "loaded"),
    [
        (lambda: Text(max_length=3), " abc ", "abc"),
        (QueryKey, "  Straße ", "strasse"),
        (QueryEmail, "Ann@Bücher.Example", "ann@xn--bcher-kva.example"),
        (QueryName, " O\u2019Neil  x", "o'neil x"),
        (EmailAddress, " Ann@Bücher.Example", "Ann@Bücher.Example"),
        (EmailAddress, "é" * 32 + "@b.example", "é" * 32 + "@b.example"),
        (lambda: PhoneNumber(max_length=9), "+49\u00a0(0)89", "+49\u00a0(0)89"),
        (Id, LARGEST_ID, LARGEST_ID),
        (Id, 2.0**53 - 1, 2**53 - 1),
        (QueryId, str(LARGEST_ID), LARGEST_ID),
        (QueryId, "1", 1),
        (QueryInteger, "-" + "9" * 400, -int("9" * 400)),
        (lambda: Choice(Colour), " blue\n", Colour.BLUE),
        (lambda: QueryEnum(Colour, metadata={}), " BLUE ", Colour.BLUE),
        (Flag, True, True),
        (Flag, False, False),
        (QueryFlag, "true", True),
        (QueryFlag, "false", False),
        (Number, 2, 2.0),
        (lambda: Id(allow_none=True), None, None),
    ],
)
def test_a_value_is_loaded(new_field: NewField, value: Any, loaded: Any) -> None:
    found = new_field().deserialize(value)
    assert (found, type(found)) == (loaded, type(loaded))


@pytest.mark.parametrize(
    ("new_field", "value", "detail"),
    [
        (lambda: Text(max_length=3), "abcd", "Length must be between 1 and 3."),
        (lambda: Text(max_length=3), "\u200b", "Must not be blank."),
        (lambda: Text(max_length=3), 7, "Not a valid string."),
        (EmailAddress, "a" * 65 + "@b.example", LONG_LOCAL_PART),
        (EmailAddress, "é" * 33 + "@b.example", LONG_LOCAL_PART),
        (EmailAddress, "a", NO_EMAIL),
        (EmailAddress, "a@-b.example", NO_EMAIL),
        (EmailAddress, "a@x@b.example", NO_EMAIL),
        (EmailAddress, "a\u00adb@b.example", NO_EMAIL),
        (EmailAddress, 7, "Not a valid string."),
        (lambda: PhoneNumber(max_length=9), "1\u200b2", "Must not contain invisible characters."),
        (Id, 0, RANGE),
        (Id, LARGEST_ID + 1, RANGE),
        (Id, -(2.0**53), "Not a valid integer."),
        (QueryId, "0", RANGE),
        (QueryId, str(LARGEST_ID + 1), RANGE),
        (QueryInteger, "9" * 401, "Not a valid integer."),
        (lambda: Choice(Colour), "Red", "Must be one of: red, blue."),
        (lambda: Choice(Colour), 7, "Must be one of: red, blue."),
        (lambda: QueryEnum(Colour, metadata={}), "green", "Must be one of: red, blue."),
        (Flag, 1, "Not a valid boolean."),
        (Flag, "true", "Not a valid boolean."),
        (QueryFlag, "True", "Must be true or false."),
        (Number, "1", "Not a valid number."),
        (Number, True, "Not a valid number."),
        (Number, float("inf"), NOT_FINITE),
    ],
)
def test_an_invalid_value_is_rejected_with_the_reason(
    new_field: NewField, value: Any, detail: str
) -> None:
    assert refusal(new_field(), value) == detail


def test_fields_of_queries_are_optional_and_described() -> None:
    name, colour = QueryName(), QueryEnum(Colour, metadata={"description": "The colour."})
    assert (name.load_default, name.metadata) == (None, {"description": ANY_SPELLING})
    assert (colour.load_default, colour.metadata) == (None, {"description": "The colour."})
    email = EmailAddress(required=True, metadata={"description": "The address."})
    assert email.required
    assert email.metadata == {"format": "email", "description": "The address."}
    assert EmailAddress().metadata == {"format": "email"}
