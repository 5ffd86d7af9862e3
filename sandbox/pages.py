"""The answers of the real vPIC API, made from a catalogue."""

import json
import re
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from sandbox.catalogue import Catalogue
from sandbox.server import JSON, XML, Reply, render
from sandbox.vins import decoded

Row = dict[str, Any]
Envelope = dict[str, Any]

MODELS = re.compile(r"/api/vehicles/getmodelsformakeid/([^/]+)/?", re.IGNORECASE)
MAKES = re.compile(r"/api/vehicles/getallmakes/?", re.IGNORECASE)
VINS = re.compile(r"/api/vehicles/decodevinvaluesbatch/?", re.IGNORECASE)
INTEGER = re.compile(r"-?[0-9]+")


class Page(NamedTuple):
    """The rendered answer to one target, and the make that it is about, if any."""

    target: str
    make_id: int | None
    reply: Reply
    envelope: bool = False  # the body is a JSON envelope


class Pages:
    """The answers from one catalogue. Each is rendered once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.find = lru_cache(maxsize=65_536)(self._find)

    def _find(self, target: str) -> Page:
        path, _, query = target.partition("?")
        as_json = parse_qs(query.lower()).get("format") == ["json"]
        if MAKES.fullmatch(path):
            return _page(target, None, _envelope(self._makes(), None), as_json)
        if found := MODELS.fullmatch(path):
            make_id = _int32(found[1])
            if make_id is None:
                return Page(target, None, _bad_request())
            envelope = _envelope(self._models(make_id), f"MakeId:{make_id}")
            return _page(target, make_id, envelope, as_json)
        return Page(target, None, _not_found(target))

    def _makes(self) -> list[Row]:
        # For this request the real API returns names in upper case, untrimmed.
        makes = self._catalogue.makes
        return [{"Make_ID": make_id, "Make_Name": makes[make_id].upper()} for make_id in makes]

    def _models(self, make_id: int) -> list[Row]:
        # Users of the real API report that id 0 returns the models of all makes.
        make_ids = list(self._catalogue.makes) if make_id == 0 else [make_id]
        return [
            {
                "Make_ID": make_id,
                "Make_Name": self._catalogue.makes[make_id],
                "Model_ID": model_id,
                "Model_Name": name,
            }
            for make_id in make_ids
            for model_id, name in self._catalogue.models.get(make_id, [])
        ]


def decoding(target: str, body: bytes) -> Page:
    """Return the answer to a batch of VINs. It is about a make if all vehicles are of that make."""
    form = parse_qs(body.decode("ascii", "replace"))
    # A VIN may be followed by a comma and its model year.
    data = form.get("data", [""])[0].split(";")
    rows = decoded([vin for entry in data if (vin := entry.partition(",")[0].strip().upper())])
    make_ids = {row["MakeID"] for row in rows}
    make_id = int(make_ids.pop() or 0) if len(make_ids) == 1 else None
    as_json = [value.lower() for value in form.get("format", [])] == ["json"]
    shown = f"{target}?{body.decode('ascii', 'replace')}"
    return _page(shown, make_id or None, _envelope(rows, ""), as_json)


def method_not_allowed(method: str, target: str) -> Page:
    """Return the answer to a method that the path does not support."""
    message = f"The requested resource does not support http method '{method}'."
    return Page(target, None, _json(405, {"message": message}))


def dump(content: object) -> bytes:
    """Return JSON as the real API writes it: compact, with non-ASCII characters in UTF-8."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _envelope(rows: list[Row], criteria: str | None) -> Envelope:
    return {
        "Count": len(rows),
        "Message": "Response returned successfully",
        "SearchCriteria": criteria,
        "Results": rows,
    }


def _page(target: str, make_id: int | None, envelope: Envelope, as_json: bool) -> Page:
    if as_json:
        return Page(target, make_id, _json(200, envelope), envelope=True)
    return Page(target, make_id, render(200, XML, _xml(envelope)))


def _json(status: int, content: object) -> Reply:
    return render(status, JSON, dump(content))


def _xml(envelope: Envelope) -> bytes:
    criteria = envelope["SearchCriteria"]
    tag = {None: "AllVehicleMakes", "": "DecodedVINValues"}.get(criteria, "MakeModels")
    rows = "".join(f"<{tag}>{_elements(row)}</{tag}>" for row in envelope["Results"])
    rest = {name: value for name, value in envelope.items() if name != "Results"}
    return f"<Response>{_elements(rest)}<Results>{rows}</Results></Response>".encode()


def _elements(values: dict[str, Any]) -> str:
    return "".join(
        f"<{name}>{escape(str(value))}</{name}>"
        for name, value in values.items()
        if value is not None
    )


def _int32(text: str) -> int | None:
    if not INTEGER.fullmatch(text) or len(text) > 11:
        return None
    number = int(text)
    return number if -(2**31) <= number < 2**31 else None


def _bad_request() -> Reply:
    detail = (
        "The parameters dictionary contains a null entry for parameter 'id' of non-nullable type "
        "'System.Int32' for method 'System.Net.Http.HttpResponseMessage GetModelsForMakeId(Int32, "
        "System.String)' in 'APIEF.Controllers.VehiclesController'. An optional parameter must be "
        "a reference type, a nullable type, or be declared as an optional parameter."
    )
    return _json(400, {"message": "The request is invalid.", "messageDetail": detail})


def _not_found(target: str) -> Reply:
    uri = f"https://vpic.nhtsa.dot.gov{target}"
    message = f"No HTTP resource was found that matches the request URI '{uri}'."
    detail = "No action was found on the controller 'Vehicles' that matches the request."
    return _json(404, {"message": message, "messageDetail": detail})
