"""`docs/openapi.json` is what is served, and changes that break clients are found."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support import openapi
from tests.support.compatibility import breaking_changes

STORED: dict[str, Any] = json.loads(openapi.FILE.read_text(encoding="utf-8"))
Edit = Callable[[dict[str, Any]], object]


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def changed(edit: Edit) -> list[str]:
    document = copy.deepcopy(STORED)
    edit(document)
    return breaking_changes(STORED, document)


def test_the_committed_document_is_what_is_served(client: FlaskClient) -> None:
    assert client.get("/openapi.json").get_json() == STORED


def test_a_document_is_compatible_with_itself() -> None:
    assert breaking_changes(STORED, STORED) == []


BREAKING: dict[str, Edit] = {
    "GET /v1/makes is gone.": lambda d: d["paths"]["/v1/makes"].pop("get"),
    "GET /v1/cars is named fetchCars instead of listCars.": lambda d: d["paths"]["/v1/cars"][
        "get"
    ].update(operationId="fetchCars"),
    "GET /v1/cars no longer has the parameter year.": lambda d: d["paths"]["/v1/cars"][
        "get"
    ].update(
        parameters=[
            each for each in d["paths"]["/v1/cars"]["get"]["parameters"] if each["name"] != "year"
        ]
    ),
    "NewDealer.location is gone.": lambda d: schema(d, "NewDealer")["properties"].pop("location"),
    "NewCustomer.phone is required.": lambda d: schema(d, "NewCustomer")["required"].append(
        "phone"
    ),
    "NewDealer.name has a narrower maxLength.": lambda d: schema(d, "NewDealer")["properties"][
        "name"
    ].update(maxLength=3),
    "NewCar.status has fewer values.": lambda d: schema(d, "NewCar")["properties"]["status"].update(
        enum=["available"]
    ),
    "Dealer.name is no longer always there.": lambda d: schema(d, "Dealer")["required"].remove(
        "name"
    ),
    "Car.color is gone.": lambda d: schema(d, "Car")["properties"].pop("color"),
    "GET /v1/cars no longer accepts oauth2.": lambda d: d["paths"]["/v1/cars"]["get"].update(
        security=[{"bearer": []}, {"oauth2": ["fleet"]}]
    ),
    "GET /health no longer accepts everyone.": lambda d: d["paths"]["/health"]["get"].update(
        security=[{"bearer": []}]
    ),
    "GET /v1/cars: 200 no longer has the header Link.": lambda d: d["paths"]["/v1/cars"]["get"][
        "responses"
    ]["200"]["headers"].pop("Link"),
    "The webhook purchase.state_changed is gone.": lambda d: d["webhooks"].clear(),
    "StateChangedData.state is gone.": lambda d: schema(d, "StateChangedData")["properties"].pop(
        "state"
    ),
    "Purchase.brand has more types.": lambda d: schema(d, "Purchase")["properties"]["brand"].update(
        type=["string", "null"]
    ),
}


@pytest.mark.parametrize("sentence", BREAKING)
def test_breaking_changes_are_found(sentence: str) -> None:
    assert sentence in changed(BREAKING[sentence])


def test_breaking_changes_are_refused_until_they_are_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = copy.deepcopy(STORED)
    before["paths"]["/v1/boats"] = {"get": before["paths"]["/v1/cars"]["get"]}
    (tmp_path / "openapi.json").write_text(json.dumps(before))
    monkeypatch.setattr(openapi, "FILE", tmp_path / "openapi.json")
    monkeypatch.setattr(openapi, "served_document", lambda: STORED)
    monkeypatch.setattr(openapi, "CHANGELOG", tmp_path / "CHANGELOG.md")
    monkeypatch.setattr(sys, "argv", ["openapi"])
    openapi.CHANGELOG.write_text("## [Unreleased]\n\n## [1.0.0]\n\n- **Breaking:** old news\n")
    assert openapi.main() == 1
    assert "GET /v1/boats is gone." in capsys.readouterr().out
    assert json.loads(openapi.FILE.read_text()) == before
    openapi.CHANGELOG.write_text("## [Unreleased]\n\n- **Breaking:** no boats\n")
    assert openapi.main() == 0
    assert json.loads(openapi.FILE.read_text()) == STORED


def test_additions_break_nothing() -> None:
    def add(document: dict[str, Any]) -> None:
        document["paths"]["/v1/boats"] = {"get": document["paths"]["/v1/cars"]["get"]}
        schema(document, "Car")["properties"]["seats"] = {"type": "integer"}
        schema(document, "Car")["required"].append("seats")
        schema(document, "NewCar")["properties"]["seats"] = {"type": "integer"}
        schema(document, "NewCar")["properties"]["status"]["enum"].append("reserved")
        schema(document, "NewDealer")["properties"]["name"]["maxLength"] = 10_000

    assert changed(add) == []
