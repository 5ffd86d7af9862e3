"""Fields for money, VINs and times."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from automart.inventory.fields import CarVin, Instant, Money, Price, QueryPrice
from automart.inventory.models import PRICE_LIMIT
from automart.vins.check_digit import check_digit
from automart.vins.fields import Vin
from tests.support.fields import refusal

CENTS = st.integers(1, PRICE_LIMIT * 100 - 1).map(lambda cents: Decimal(cents).scaleb(-2))
TOTALS = st.integers(1, 10**7 * 100 * 3_652_059).map(lambda cents: Decimal(cents).scaleb(-2))

NO_NUMBER = "Not a valid number."
NO_AMOUNT = "Not a valid number with at most two decimals."
OUT_OF_RANGE = "Must be above 0 and below 10,000,000."
TOO_MANY_DECIMALS = "Must have at most two decimals."


class TestMoney:
    @given(CENTS)
    def test_a_price_is_read_exactly(self, price: Decimal) -> None:
        assert Price().deserialize(json.loads(str(price))) == price

    @given(TOTALS)
    def test_an_amount_is_shown_exactly_with_at_most_two_decimals(self, total: Decimal) -> None:
        shown = json.dumps(Money().serialize("total", {"total": total}))
        assert Decimal(shown) == total
        assert len(shown.partition(".")[2]) <= 2

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (0, OUT_OF_RANGE),
            (-0.0, OUT_OF_RANGE),
            (-1, OUT_OF_RANGE),
            (0.001, TOO_MANY_DECIMALS),
            (19.999, TOO_MANY_DECIMALS),
            (0.1 + 0.2, TOO_MANY_DECIMALS),
            (1e30, OUT_OF_RANGE),
            (10_000_000, OUT_OF_RANGE),
            (10**500, OUT_OF_RANGE),
            (float("inf"), NO_NUMBER),
            ("7", NO_NUMBER),
            (True, NO_NUMBER),
            (None, "Field may not be null."),
        ],
        ids=lambda value: str(value)[:9],
    )
    def test_an_invalid_price_is_refused(self, value: Any, reason: str) -> None:
        assert refusal(Price(), value) == reason

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("0", OUT_OF_RANGE),
            ("-1", NO_AMOUNT),
            ("1e3", NO_AMOUNT),
            ("1.234", NO_AMOUNT),
            ("NaN", NO_AMOUNT),
            ("", NO_AMOUNT),
            ("\uff19", NO_AMOUNT),
            ("1" * 30, NO_AMOUNT),
        ],
    )
    def test_an_invalid_price_in_a_query_is_refused(self, value: str, reason: str) -> None:
        assert refusal(QueryPrice(), value) == reason

    def test_a_price_is_described_with_its_limits_and_may_be_optional(self) -> None:
        price = Price(allow_none=True)
        assert price.metadata == {
            "description": "With at most two decimals.",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 10_000_000,
            "multipleOf": 0.01,
        }
        assert price.deserialize(None) is None

    def test_a_price_in_a_query_is_read_exactly(self) -> None:
        assert QueryPrice().deserialize("49.9") == Decimal("49.90")


class TestVin:
    @pytest.mark.parametrize(
        "vin",
        [
            "1M8GDM9AXKP042788",
            "11111111111111111",
            "5GZCZ43D13S812715",
            "WBA00000000000001",
            "1M8GDM9AZKP042788",  # built in North America for Europe
        ],
    )
    def test_a_valid_vin_is_converted_to_capitals(self, vin: str) -> None:
        assert CarVin().deserialize(f" {vin.lower()} ") == vin

    def test_a_vin_is_described_and_may_be_optional(self) -> None:
        vin = CarVin(allow_none=True)
        assert vin.metadata == dict(Vin().metadata) | {
            "description": (
                "ISO 3779, in any case. If the first character is 1 to 5 and the ninth is a digit"
                " or X, the ninth must be the right check digit."
            )
        }
        assert vin.deserialize(None) is None

    @pytest.mark.parametrize(
        "vin",
        [
            "1M8GDM9A1KP042788",  # its check digit is X
            "WBA0000000000000I",
            "WBA0000000000000O",
            "WBA0000000000000Q",
            "WBA0000000000000",
            "WBA000000000000001",
            "WBA00000000000 01",
            "WBA0000000000000ß",
            "WBA0000000000000\u0131",
            "WBA0000000000000\u0661",
            "",
            None,
            12345678901234567,
        ],
    )
    def test_an_invalid_vin_is_refused(self, vin: Any) -> None:
        with pytest.raises(ValidationError):
            CarVin().deserialize(vin)

    @given(st.text("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=16, max_size=16))
    def test_only_north_american_vins_need_the_right_check_digit(self, text: str) -> None:
        assert all(_is_vin("1" + text[:7] + letter + text[8:]) for letter in "ABZ")
        accepted = [d for d in "0123456789X" if _is_vin("1" + text[:7] + d + text[8:])]
        assert accepted == [check_digit("1" + text[:7] + "0" + text[8:])]
        assert all(_is_vin("W" + text[:7] + d + text[8:]) for d in "0123456789X")


def _is_vin(vin: str) -> bool:
    try:
        return bool(CarVin().deserialize(vin))
    except ValidationError:
        return False


class TestInstant:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-01-15T00:00:00",
            "2026-01-15",
            "2026-01-15T00:00:00 +00:00",
            "2026-02-30T00:00:00Z",
            "2026-01-15T24:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-12:00",
            "10000-01-01T00:00:00Z",
            1700000000,
            None,
        ],
    )
    def test_a_time_that_cannot_be_stored_is_refused(self, text: Any) -> None:
        with pytest.raises(ValidationError):
            Instant().deserialize(text)

    @pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
    def test_the_first_and_the_last_day_are_refused(self, text: str) -> None:
        assert refusal(Instant(), text) == "Is too far from now."

    def test_a_time_with_an_offset_is_converted_to_utc(self) -> None:
        instant = Instant().deserialize("2026-01-15T05:30:00.000001+05:30")
        assert instant == datetime(2026, 1, 15, microsecond=1, tzinfo=UTC)
        assert instant.tzinfo is UTC
