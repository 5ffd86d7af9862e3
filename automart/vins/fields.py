"""Fields for VINs."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError

from automart.vins.check_digit import NOT_A_VIN, VIN_LENGTH, VIN_PATTERN, is_vin
from automart.web import Values
from automart.web.fields import Text


class Vin(Text):
    """A vehicle identification number (ISO 3779) with any check digit, converted to capitals."""

    def __init__(self, *, metadata: Values | None = None, **kwargs: Any) -> None:
        described = {"pattern": VIN_PATTERN, "description": "ISO 3779, in any case."}
        super().__init__(max_length=VIN_LENGTH, metadata=described | (metadata or {}), **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        vin = super()._deserialize(value, *args, **kwargs)
        if not is_vin(vin):
            raise ValidationError(NOT_A_VIN)
        return vin.upper()
