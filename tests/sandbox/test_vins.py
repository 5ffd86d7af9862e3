"""The fake vPIC API decodes VINs, as its clients see it on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox import Catalogue, Fault, Vpic
from sandbox.vins import VEHICLES
from tests.support.limits import LIMIT

CIVIC, CAMRY = "2HGFC2F56KH512345", "4T1B11HKXJU123456"
HONDA = 474


@pytest.fixture
def vpic() -> Iterator[Vpic]:
    with Vpic() as vpic:
        yield vpic


def post(vpic: Vpic, data: str, form: str = "json") -> requests.Response:
    url = f"{vpic.url}/vehicles/DecodeVINValuesBatch/"
    return requests.post(url, data={"format": form, "data": data}, timeout=LIMIT)


def rows(vpic: Vpic, data: str) -> list[dict[str, Any]]:
    envelope = post(vpic, data).json()
    assert list(envelope) == ["Count", "Message", "SearchCriteria", "Results"]
    assert envelope["Count"] == len(envelope["Results"])
    found: list[dict[str, Any]] = envelope["Results"]
    return found


def test_vins_are_decoded_in_order_as_text(vpic: Vpic) -> None:
    camry, civic, unknown = rows(vpic, f"{CAMRY};{CIVIC.lower()},2019;WBA00000000000001")
    assert (camry["MakeID"], camry["Model"]) == ("448", "Camry")
    assert (civic["VIN"], civic["ErrorCode"], civic["ModelYear"]) == (CIVIC, "0", "2019")
    assert (unknown["ErrorCode"], unknown["Make"], unknown["MakeID"]) == ("1,7", "", "")
    assert all(isinstance(value, str) for value in civic.values())


def test_a_wrong_check_digit_is_an_error_of_the_answer(vpic: Vpic) -> None:
    (civic,) = rows(vpic, CIVIC[:8] + "0" + CIVIC[9:])
    assert (civic["Model"], civic["ErrorCode"]) == ("Civic", "1")
    assert civic["ErrorText"] == "1 - Check Digit (9th position) does not calculate properly"
    assert not [
        r["VIN"] for r in rows(vpic, ";".join(VEHICLES)) if "1" in r["ErrorCode"].split(",")
    ]


def test_makes_and_models_of_the_sample_catalogue_have_its_ids(vpic: Vpic) -> None:
    sample = Catalogue.sample()
    for row in rows(vpic, ";".join(VEHICLES)):
        make_id = int(row["MakeID"])
        if make_id in sample.makes and row["ModelID"]:
            models = {ident: name.strip().lower() for ident, name in sample.models[make_id]}
            assert models[int(row["ModelID"])] == row["Model"].lower()


def test_other_forms_and_methods_are_answered_as_by_the_real_api(vpic: Vpic) -> None:
    assert rows(vpic, "") == []
    assert post(vpic, CIVIC, "xml").text.startswith("<Response>")
    url = f"{vpic.url}/vehicles/DecodeVINValuesBatch/"
    assert requests.get(url, timeout=LIMIT).status_code == 405
    other = f"{vpic.url}/vehicles/GetAllMakes"
    assert requests.post(other, timeout=LIMIT).status_code == 405


def test_orders_for_a_make_concern_batches_of_its_vehicles(vpic: Vpic) -> None:
    vpic.order(Fault.FORBIDDEN, make_id=HONDA)
    assert post(vpic, CIVIC).status_code == 403
    assert post(vpic, f"{CIVIC};{CAMRY}").status_code == 200
    vpic.order(Fault.SERVER_ERROR, status=502)
    assert post(vpic, f"{CIVIC};{CAMRY}").status_code == 502
    assert [(r.make_id, r.status) for r in vpic.requests] == [
        (HONDA, 403),
        (None, 200),
        (None, 502),
    ]


def test_rows_are_spoilt_to_order(vpic: Vpic) -> None:
    for fault, expected in (
        (Fault.EMPTY, []),
        (Fault.FOREIGN_MAKE, [("475", "Civic")]),
        (Fault.BLANK_NAME, [("474", "   ")]),
        (Fault.DUPLICATE_ID, [("474", "Civic"), ("474", "Civic again")]),
    ):
        vpic.order(fault)
        assert [(row["MakeID"], row["Model"]) for row in rows(vpic, CIVIC)] == expected
    vpic.order(Fault.TRUNCATED)
    envelope = post(vpic, f"{CIVIC};{CAMRY}").json()
    assert (envelope["Count"], len(envelope["Results"])) == (2, 1)
