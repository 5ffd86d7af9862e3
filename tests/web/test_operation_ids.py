"""Operations are named after their method and path."""

from __future__ import annotations

from automart.web.operation_ids import operation_id, title_of


def test_a_name_follows_from_the_method_and_the_path() -> None:
    for path, method, is_list, expected in (
        ("/v1/wheels", "get", True, "listWheels"),
        ("/v1/wheels", "post", False, "createWheel"),
        ("/v1/spare-wheels/{id}", "get", False, "getSpareWheel"),
        ("/v1/spare-wheels/{id}", "put", False, "replaceSpareWheel"),
        ("/v1/batteries/{id}", "patch", False, "updateBattery"),
        ("/v1/batteries/{id}/cells", "get", True, "listBatteryCells"),
        ("/v1/batteries/{id}/cells/{cell}", "delete", False, "deleteBatteryCell"),
        ("/v1/batteries/{id}/label", "put", False, "replaceBatteryLabel"),
        ("/v1/wheels/flat-wheels", "get", True, "listFlatWheels"),
        ("/v1/batteries/{id}/cells", "delete", False, "deleteBatteryCells"),
        ("/radio", "get", False, "getRadio"),
    ):
        assert operation_id(path, method, is_list=is_list) == expected


def test_a_title_is_the_name_in_words() -> None:
    assert title_of("listFlatWheels") == "List flat wheels"
    assert title_of("honk") == "Honk"
    assert title_of("decodeVins") == "Decode VINs"
