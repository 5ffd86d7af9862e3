"""vPIC's answer about a VIN, as checked values and as warnings in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from automart.core.db_types import LARGEST_ID
from automart.core.text import clean
from automart.vins.check_digit import has_wrong_check_digit

LONGEST_VALUE = 255
LONGEST_QUOTE = 200
MOST_WARNINGS = 20

NOT_ANSWERED = "NHTSA's answer does not contain this VIN."
WRONG_CHECK_DIGIT = "The check digit (the ninth character) is wrong."
NO_CHECK_DIGIT = (
    "The ninth character is not the check digit that NHTSA expects. Outside North America it need"
    " not be one."
)

CHECK_DIGIT_CODE = 1
UNKNOWN_MANUFACTURER_CODE = 7
_SENTENCES: Mapping[int, str] = {
    2: "One character is wrong. NHTSA has corrected it.",
    3: "One character is wrong. NHTSA has corrected it, assuming that the check digit is right.",
    4: "One character is wrong, and there are several ways to correct it.",
    5: "Some characters are wrong.",
    6: "The VIN is incomplete.",
    UNKNOWN_MANUFACTURER_CODE: "NHTSA does not know the manufacturer, which has not registered to"
    " sell or import vehicles in the USA.",
    8: "NHTSA has no details of this vehicle.",
    11: "The model year (the tenth character) is wrong.",
    14: "NHTSA does not know the meaning of all characters.",
    400: "The VIN has characters that are not allowed.",
}
_EMPTY = (None, "", "Not Applicable")
_CODE = re.compile(r"\s*(\d{1,6})(?:\s*-\s*(.*\S))?", re.ASCII | re.DOTALL)
_YEAR = re.compile(r"[12]\d{3}", re.ASCII)
_ID = re.compile(r"\d{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Decoding:
    """What NHTSA knows about a VIN, with its spelling of names. What it does not know is None."""

    make_id: int | None = None
    make: str | None = None
    model_id: int | None = None
    model: str | None = None
    year: int | None = None
    body_class: str | None = None
    fuel_type: str | None = None
    plant_country: str | None = None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the decoding that `to_json` has described, also in another release."""
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in names})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


_COLUMNS = {
    "make": "Make",
    "model": "Model",
    "year": "ModelYear",
    "body_class": "BodyClass",
    "fuel_type": "FuelTypePrimary",
    "plant_country": "PlantCountry",
}


def read_row(vin: str, row: Mapping[str, Any]) -> Decoding:
    """Return what vPIC's row says about a VIN in capitals. A value that is unusable is unknown."""
    values: dict[str, Any] = {name: _text(row.get(column)) for name, column in _COLUMNS.items()}
    values["year"] = _number(_YEAR, values["year"])
    unusable = [
        column
        for name, column in _COLUMNS.items()
        if values[name] is None and row.get(column) not in _EMPTY
    ]
    warnings = [*_error_warnings(vin, row), *_gap_warnings(values, row)]
    warnings += [f"NHTSA's value of {column} cannot be used." for column in unusable]
    return Decoding(
        make_id=_id(row.get("MakeID")),
        model_id=_id(row.get("ModelID")),
        warnings=list(dict.fromkeys(warnings))[:MOST_WARNINGS],
        **values,
    )


def _error_warnings(vin: str, row: Mapping[str, Any]) -> Iterator[str]:
    codes = _error_codes(row)
    texts = _error_texts(row)
    if has_wrong_check_digit(vin):
        yield WRONG_CHECK_DIGIT
    elif CHECK_DIGIT_CODE in codes:
        yield NO_CHECK_DIGIT
    for code in codes:
        if code in (0, CHECK_DIGIT_CODE):
            continue
        if code in _SENTENCES:
            yield _SENTENCES[code]
        elif code in texts:
            yield f"NHTSA says: {texts[code][:LONGEST_QUOTE].rstrip('.')}."
        else:
            yield f"NHTSA reports error {code} without an explanation."
    suggested = _text(row.get("SuggestedVIN"))
    if suggested is not None and suggested != vin:
        marks = " Each ! is a character that it cannot correct." if "!" in suggested else ""
        yield f"NHTSA suggests {suggested[:LONGEST_QUOTE]}.{marks}"


def _gap_warnings(values: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[str]:
    missing = [name for name in ("make", "model", "year") if values[name] is None]
    says_so = UNKNOWN_MANUFACTURER_CODE in _error_codes(row)
    if missing and not (says_so and len(missing) == 3):
        listed = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        yield f"NHTSA does not know the {listed}."


def _error_codes(row: Mapping[str, Any]) -> list[int]:
    """Return the codes of `ErrorCode`, which is a text like "1,14"."""
    parts = (_text(row.get("ErrorCode")) or "").split(",")
    return [int(found[1]) for found in map(_CODE.match, parts) if found]


def _error_texts(row: Mapping[str, Any]) -> dict[int, str]:
    """Return the texts of `ErrorText`, which is like "1 - Check Digit …; 14 - Unable …"."""
    text = row.get("ErrorText")
    parts = map(_CODE.match, text.split(";") if isinstance(text, str) else ())
    found = {int(part[1]): _text(part[2]) for part in parts if part}
    return {code: text for code, text in found.items() if text is not None}


def _text(value: Any) -> str | None:
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        return None
    try:
        cleaned = clean(value)
    except ValueError:
        return None
    return cleaned if len(cleaned) <= LONGEST_VALUE and cleaned not in _EMPTY else None


def _number(pattern: re.Pattern[str], text: str | None) -> int | None:
    return int(text) if text is not None and pattern.fullmatch(text) else None


def _id(value: Any) -> int | None:
    number = _number(_ID, _text(value))
    return number if number is not None and 1 <= number <= LARGEST_ID else None
