"""Rows of vPIC as values and warnings, in particular odd ones."""

from __future__ import annotations

from typing import Any

from automart.vins.decoding import NO_CHECK_DIGIT, WRONG_CHECK_DIGIT, Decoding, read_row

VIN = "1M8GDM9AXKP042788"
ROW = {
    "VIN": VIN,
    "ErrorCode": "0",
    "ErrorText": "0 - VIN decoded clean. Check Digit (9th position) is correct",
    "SuggestedVIN": "",
    "Make": "MCI",
    "MakeID": "4877",
    "Model": " 102A3 ",
    "ModelID": "14000",
    "ModelYear": "1989",
    "BodyClass": "Bus",
    "FuelTypePrimary": "Diesel",
    "PlantCountry": "UNITED STATES (USA)",
}


def read(vin: str = VIN, **changes: Any) -> Decoding:
    return read_row(vin, ROW | changes)


def test_the_smallest_id_and_the_longest_value_are_read() -> None:
    decoding = read(MakeID="1", Make="x" * 255)
    assert (decoding.make_id, decoding.make) == (1, "x" * 255)
    assert read(MakeID="0", Make="x" * 256).make is None


def test_a_clean_row_is_read_with_its_ids() -> None:
    assert read() == Decoding(
        make_id=4877,
        make="MCI",
        model_id=14000,
        model="102A3",
        year=1989,
        body_class="Bus",
        fuel_type="Diesel",
        plant_country="UNITED STATES (USA)",
    )
    assert Decoding.from_json(read().to_json() | {"of_the_next_release": 1}) == read()


def test_every_error_code_becomes_a_sentence() -> None:
    for code, text, warnings in (
        ("0", "", []),
        ("", "", []),
        (None, None, []),
        (0, "", []),
        ("6", "6 - Incomplete VIN", ["The VIN is incomplete."]),
        ("400", "", ["The VIN has characters that are not allowed."]),
        (
            "8, 14",
            "8 - No detailed data available currently; 14 - Unable to …",
            [
                "NHTSA has no details of this vehicle.",
                "NHTSA does not know the meaning of all characters.",
            ],
        ),
        ("9,9", "9 - Glider Warning", ["NHTSA says: Glider Warning."]),
        ("9", "9 - .5 t.; 10 - Trailer", ["NHTSA says: .5 t."]),
        ("10", "9 - Glider; 10 - Trailer", ["NHTSA says: Trailer."]),
        ("77", "9 - Glider Warning", ["NHTSA reports error 77 without an explanation."]),
        ("77", ["77 - a list"], ["NHTSA reports error 77 without an explanation."]),
        ("77", "77 - " + "x" * 250, ["NHTSA says: " + "x" * 200 + "."]),
        ("soon", "", []),
        (["1"], "", []),
    ):
        assert read(ErrorCode=code, ErrorText=text).warnings == warnings, code


def test_a_check_digit_is_wrong_only_where_one_is_required() -> None:
    assert read("1M8GDM9A1KP042788").warnings == [WRONG_CHECK_DIGIT]
    assert read("1M8GDM9A1KP042788", ErrorCode="1").warnings == [WRONG_CHECK_DIGIT]
    assert read("1M8GDM9AZKP042788", ErrorCode="1").warnings == [NO_CHECK_DIGIT]
    assert read("WBA00000000000001", ErrorCode="1").warnings == [NO_CHECK_DIGIT]


def test_a_suggestion_is_shown() -> None:
    assert read(ErrorCode="2", SuggestedVIN="1M8GDM9AXKP042789").warnings == [
        "One character is wrong. NHTSA has corrected it.",
        "NHTSA suggests 1M8GDM9AXKP042789.",
    ]
    assert read(SuggestedVIN=VIN).warnings == []


def test_gaps_are_named() -> None:
    assert read(Model="").warnings == ["NHTSA does not know the model."]
    gaps = read(Make="Not Applicable", Model=None, ModelYear="")
    assert gaps.warnings == ["NHTSA does not know the make, model and year."]
    assert read_row(VIN, {}).warnings == gaps.warnings
    unknown = read(ErrorCode="7", Make="", Model="", ModelYear="")
    assert len(unknown.warnings) == 1
    assert read(BodyClass="", FuelTypePrimary=None, PlantCountry="Not Applicable").warnings == []


def test_a_value_that_cannot_be_used_is_unknown() -> None:
    for value in ("x" * 256, "a\x00b", "\ud800", ["a"], {"a": 1}, True, 1.5):
        found = read(BodyClass=value)
        assert found.body_class is None
        assert found.warnings == ["NHTSA's value of BodyClass cannot be used."], value
    for year in ("19", "20190", "next", "²019", "0000"):
        found = read(ModelYear=year)
        assert (found.year, len(found.warnings)) == (None, 2), year
    assert read(ModelYear=2019).year == 2019
    for ident in ("", None, "0", "-7", "7.0", "x", "9" * 19, "9" * 400, True, [7]):
        assert read(MakeID=ident).make_id is None, ident
    assert read(MakeID=7).make_id == 7
