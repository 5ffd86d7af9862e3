"""The vehicles that the fake vPIC API can decode, and its answers about VINs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789", strict=True))
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_PLACE = 8

CLEAN, CHECK_DIGIT, FEW_POSITIONS, UNKNOWN_MANUFACTURER, UNKNOWN_CHARACTERS = 0, 1, 5, 7, 14
TEXTS = {
    CLEAN: "VIN decoded clean. Check Digit (9th position) is correct",
    CHECK_DIGIT: "Check Digit (9th position) does not calculate properly",
    FEW_POSITIONS: "VIN has errors in few positions",
    UNKNOWN_MANUFACTURER: "Manufacturer is not registered with NHTSA for sale or importation in"
    " the U.S. for use on U.S roads; Please contact the manufacturer directly for more information",
    UNKNOWN_CHARACTERS: "Unable to provide information for all the characters in the VIN.",
}


class Vehicle(NamedTuple):
    """What vPIC knows about a VIN. All values are text, as there."""

    make_id: str = ""
    make: str = ""
    model_id: str = ""
    model: str = ""
    year: str = ""
    body_class: str = ""
    fuel: str = ""
    country: str = ""
    errors: tuple[int, ...] = ()
    suggested: str = ""


CAR = "Sedan/Saloon"
SUV = "Sport Utility Vehicle (SUV)/Multi-Purpose Vehicle (MPV)"
USA = "UNITED STATES (USA)"
VEHICLES = {
    "2HGFC2F56KH512345": Vehicle(
        "474", "HONDA", "1863", "Civic", "2019", CAR, "Gasoline", "CANADA"
    ),
    "JHLRD68404C018253": Vehicle("474", "HONDA", "1865", "CR-V", "2004", SUV, "Gasoline", "JAPAN"),
    "4T1B11HKXJU123456": Vehicle("448", "TOYOTA", "2469", "Camry", "2018", CAR, "Gasoline", USA),
    "1N4AZ0CP3DC412345": Vehicle("478", "NISSAN", "1905", "Leaf", "2013", CAR, "Electric", USA),
    # The model is not known.
    "JM3KE4DY9G0612345": Vehicle(
        "473", "MAZDA", year="2016", country="JAPAN", errors=(UNKNOWN_CHARACTERS,)
    ),
    # These makes are not in the sample catalogue.
    "5UXWX7C51BL123456": Vehicle("452", "BMW", "1719", "X3", "2011", SUV, "Gasoline", USA),
    "5YJSA3DS4EFP12345": Vehicle(
        *("441", "TESLA", "1685", "Model S", "2014", "Hatchback/Liftback/Notchback", "", USA),
        errors=(FEW_POSITIONS, UNKNOWN_CHARACTERS),
        suggested="5YJSA3D!4EFP12345",
    ),
}
"""By VIN. Any ninth character finds the vehicle, and a wrong check digit is an error of the answer.
"""
_BY_REST = {vin[:_PLACE] + vin[_PLACE + 1 :]: vehicle for vin, vehicle in VEHICLES.items()}
_UNKNOWN = Vehicle(errors=(UNKNOWN_MANUFACTURER,))


def decoded(vins: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of vPIC's answer about VINs."""
    return [_row(vin) for vin in vins]


def _row(vin: str) -> dict[str, Any]:
    vehicle = _BY_REST.get(vin[:_PLACE] + vin[_PLACE + 1 :], _UNKNOWN)
    errors = vehicle.errors
    if vin[_PLACE : _PLACE + 1] != _check_digit(vin):
        errors = (CHECK_DIGIT, *errors)
    errors = errors or (CLEAN,)
    return {
        "VIN": vin,
        "ErrorCode": ",".join(map(str, errors)),
        "ErrorText": "; ".join(f"{code} - {TEXTS[code]}" for code in errors),
        "AdditionalErrorText": "",
        "SuggestedVIN": vehicle.suggested,
        "PossibleValues": "",
        "Make": vehicle.make,
        "MakeID": vehicle.make_id,
        "Model": vehicle.model,
        "ModelID": vehicle.model_id,
        "ModelYear": vehicle.year,
        "Series": "",
        "BodyClass": vehicle.body_class,
        "FuelTypePrimary": vehicle.fuel,
        "FuelTypeSecondary": "",
        "PlantCountry": vehicle.country,
        "BusType": "Not Applicable",
        "TrailerType": "Not Applicable",
    }


def _check_digit(vin: str) -> str:
    digits = [_VALUES.get(character, character) for character in vin]
    if len(vin) != len(_WEIGHTS) or not all(digit.isdecimal() for digit in digits):
        return ""
    remainder = sum(int(v) * w for v, w in zip(digits, _WEIGHTS, strict=True)) % 11
    return "X" if remainder == 10 else str(remainder)
