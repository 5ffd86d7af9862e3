"""Makes and models that a test starts with."""

from __future__ import annotations

from automart.catalogue.models import VehicleMake, VehicleModel
from automart.core.db import db, transaction

HONDA = 474
HONDAS = {1861: "Accord", 1863: "Civic", 1864: "Pilot"}


def add_make(
    make_id: int = HONDA, name: str = "Honda", models: dict[int, str] | None = None
) -> None:
    with transaction():
        db.session.add(VehicleMake(id=make_id, name=name))
        db.session.flush()
        for model_id, model_name in (models or {}).items():
            db.session.add(VehicleModel(id=model_id, make_id=make_id, name=model_name))


def add_makes(count: int, *, first: int = 1) -> list[int]:
    """`count` makes with ids in a row, which are answered."""
    ids = list(range(first, first + count))
    with transaction():
        db.session.add_all(VehicleMake(id=i, name=f"Make {i}") for i in ids)
    return ids
