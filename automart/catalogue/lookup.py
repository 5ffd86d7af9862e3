"""Finding a make and a model by the names that people write."""

from __future__ import annotations

from sqlalchemy import case, select

from automart.catalogue.models import VehicleMake, VehicleModel
from automart.core.db import db
from automart.core.errors import Invalid
from automart.core.text import casefold_key


def find_model(
    brand: str,
    model: str,
    *,
    keep: bool = True,
    brand_field: str = "brand",
    model_field: str = "model",
) -> tuple[VehicleMake, str]:
    """The make, kept from being deleted until the transaction ends unless `keep` is false, and the
    model's name as the catalogue spells it.

    Names are found whatever their case. Raises `Invalid` that points to the field.
    """
    found = select(VehicleMake).where(VehicleMake.name_folded == casefold_key(brand))
    if keep:
        found = found.with_for_update(read=True, key_share=True)
    make = db.session.scalar(found)
    if make is None:
        raise Invalid.field(brand_field, f"There is no make {brand} in the catalogue.")
    # NHTSA has models whose names differ in nothing but case: the one that was meant comes first.
    name = db.session.scalar(
        select(VehicleModel.name)
        .where(VehicleModel.make_id == make.id, VehicleModel.name_folded == casefold_key(model))
        .order_by(case((VehicleModel.name == model, 0), else_=1), VehicleModel.id)
        .limit(1)
    )
    if name is None:
        raise Invalid.field(model_field, f"{make.name} has no model {model} in the catalogue.")
    return make, name
