"""The form of vehicle identification numbers (ISO 3779), and the check digit of North America."""

from __future__ import annotations

import re

VIN_LENGTH = 17
VIN_PATTERN = rf"^[A-HJ-NPR-Za-hj-npr-z0-9]{{{VIN_LENGTH}}}$"
NOT_A_VIN = "Must be 17 letters and digits, without I, O and Q."

_VIN = re.compile(VIN_PATTERN, re.ASCII)
_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789", strict=True))
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_PLACE = 8
_CHECK_DIGITS = frozenset("0123456789X")
_NORTH_AMERICA = frozenset("12345")


def is_vin(text: str) -> bool:
    """Return whether a text has the length and the characters of a VIN, in any case."""
    return _VIN.fullmatch(text) is not None


def check_digit(vin: str) -> str:
    """Return the right check digit for a VIN in capitals. The ninth character does not matter."""
    values = (int(_VALUES.get(character, character)) for character in vin)
    remainder = sum(v * w for v, w in zip(values, _WEIGHTS, strict=True)) % 11
    return "X" if remainder == 10 else str(remainder)


def has_wrong_check_digit(vin: str) -> bool:
    """Return whether a VIN in capitals must have a check digit (49 CFR 565.15), and it is wrong.

    Only North America requires one (the first character is 1 to 5). Vehicles that are built there
    for Europe have another letter in its place.
    """
    found = vin[_PLACE]
    is_required = vin[0] in _NORTH_AMERICA and found in _CHECK_DIGITS
    return is_required and found != check_digit(vin)
