"""VINs to decode, and vehicles, as the API takes and shows them."""

from __future__ import annotations

from typing import ClassVar

from marshmallow import fields, validate

from automart.vins.fields import Vin
from automart.web import Output, Schema, example

MAX_VINS = 50


@example(vins=["1HGCV1F35RA000011", "5FNYG1H4XSB000037"])
class NewVinDecoding(Schema):
    """The VINs to decode: either `vin` or `vins`."""

    keywords: ClassVar = {"minProperties": 1, "maxProperties": 1}

    vin = Vin(metadata={"description": "A VIN (ISO 3779), in any case and with any check digit."})
    vins = fields.List(
        Vin(),
        validate=validate.Length(1, MAX_VINS),
        metadata={"description": "Up to 50 VINs."},
    )


class DecodedVehicle(Output):
    """What NHTSA knows about a VIN."""

    vin = fields.String(metadata={"description": "The VIN, in capitals."})
    make = fields.String(
        allow_none=True,
        metadata={"description": "The make, as the catalogue spells it if it has the make."},
    )
    model = fields.String(
        allow_none=True,
        metadata={"description": "The model, as the catalogue spells it if it has the model."},
    )
    year = fields.Integer(allow_none=True, metadata={"description": "The model year."})
    body_class = fields.String(allow_none=True, metadata={"description": "The kind of body."})
    fuel_type = fields.String(allow_none=True, metadata={"description": "The primary fuel."})
    plant_country = fields.String(
        allow_none=True, metadata={"description": "The country in which it was built."}
    )
    warnings = fields.List(
        fields.String(),
        metadata={"description": "What may be wrong with the VIN, or is not known: sentences."},
    )


class VinDecodingResult(Output):
    """The vehicles, in the order of the VINs in the request. What is not known is null."""

    vehicles = fields.List(
        fields.Nested(DecodedVehicle), metadata={"description": "A vehicle for each VIN."}
    )
