"""Fields that several domains use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from marshmallow import ValidationError

from automart.web import Query, Schema
from automart.web.fields import Integer, QueryId, QueryText, UtcTime

NO_TIMES: tuple[Any, ...] = (
    *("2026-01-15T00:00:00", "2026-01-15", "20260115T000000Z", "2026-W03-4T00:00:00Z", "", "now"),
    *("2026-02-29T00:00:00Z", "2026-01-15T24:30:00Z", "2026-01-15T23:59:60Z", "2026-01-15T00:00Z"),
    *("T2026-01-15T00:00:00Z", "2026-01-15T00:00:00+25:00", "2026-01-15T00:00:00,5Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00", "\u0662026-01-15T00:00:00Z"),
    *(1768435200, 1768435200.5, None, True, [], {}),
)


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


@pytest.mark.parametrize("value", NO_TIMES)
def test_a_value_that_is_not_a_time_with_an_offset_is_rejected(value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Moment().load({"at": value})
    assert list(refused.value.messages_dict) == ["at"]


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
