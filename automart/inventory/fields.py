"""Fields for amounts of money, VINs, and times that the database can store."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields

from automart.inventory.models import PRICE_LIMIT
from automart.vins.check_digit import has_wrong_check_digit
from automart.vins.fields import Vin
from automart.web.fields import UtcTime

# One day less than Python's range: the driver may return a time with any offset.
FIRST_INSTANT = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
LAST_INSTANT = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)

_VIN_DESCRIPTION = (
    "ISO 3779, in any case. If the first character is 1 to 5 and the ninth is a digit or X, the"
    " ninth must be the right check digit."
)
_AMOUNT = re.compile(r"\d{1,20}(\.\d{1,2})?", re.ASCII)


class Money(fields.Decimal):
    """An amount of money: a JSON number with at most two decimals, and a `Decimal` in Python.

    A float is exact to the cent for prices below `PRICE_LIMIT` and for totals of them.
    """

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValidationError("Not a valid number.")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValidationError("Not a valid number.")
        # `repr` returns the shortest decimal for this float, which is what the client wrote.
        amount = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
        if amount != 0 and amount.normalize().as_tuple().exponent < -2:  # type: ignore[operator] # finite
            raise ValidationError("Must have at most two decimals.")
        return amount

    def _serialize(self, value: Decimal | None, *_args: Any, **_kwargs: Any) -> Any:
        return None if value is None else float(value)


class Price(Money):
    """A price above 0."""

    def __init__(self, **kwargs: Any) -> None:
        limits = {"exclusiveMinimum": 0, "exclusiveMaximum": PRICE_LIMIT, "multipleOf": 0.01}
        metadata = {"description": "With at most two decimals."} | limits
        super().__init__(validate=_in_range, metadata=metadata, **kwargs)


class QueryPrice(Price):
    """A price in a query string."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Decimal:
        if not _AMOUNT.fullmatch(str(value)):
            raise ValidationError("Not a valid number with at most two decimals.")
        return Decimal(value)


class CarVin(Vin):
    """A VIN whose check digit is right where North America requires one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"description": _VIN_DESCRIPTION}, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        vin = super()._deserialize(value, *args, **kwargs)
        if has_wrong_check_digit(vin):
            raise ValidationError("The check digit (the ninth character) is wrong.")
        return vin


class Instant(UtcTime):
    """A time that every database can store and return."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        instant = super()._deserialize(value, *args, **kwargs)
        if not FIRST_INSTANT <= instant <= LAST_INSTANT:
            raise ValidationError("Is too far from now.")
        return instant


def _in_range(price: Decimal) -> None:
    if not 0 < price < PRICE_LIMIT:
        raise ValidationError(f"Must be above 0 and below {PRICE_LIMIT:,}.")
