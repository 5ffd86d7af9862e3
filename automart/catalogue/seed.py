"""Sample makes and models for trying Automart out."""

from __future__ import annotations

from sqlalchemy import exists, select

from automart.background import Job
from automart.catalogue import service
from automart.catalogue.changes import Change, record_by_hand
from automart.catalogue.models import MakeOfChange, ModelChangeKind, VehicleMake, VehicleModel
from automart.core.db import db

MAKES = {
    475: "Acura",
    474: "Honda",
    480: "Infiniti",
    542: "Isuzu",
    515: "Lexus",
    473: "Mazda",
    481: "Mitsubishi",
    478: "Nissan",
    523: "Subaru",
    509: "Suzuki",
    448: "Toyota",
}
MODELS_OF_HONDA = {1861: "Accord", 1863: "Civic", 1864: "Pilot"}
HONDA = 474


def add_samples() -> bool:
    """Add sample makes and models, in the current transaction, to a database that was never used.

    A database with jobs was used: its makes may have been deleted on purpose.
    """
    traces = select(exists().select_from(VehicleMake), exists().select_from(Job))
    if any(db.session.execute(traces).one()):
        return False
    for ident, name in MAKES.items():
        service.create_make({"id": ident, "name": name})
    db.session.flush()  # so that models can refer to them
    db.session.add_all(
        VehicleModel(id=ident, make_id=HONDA, name=name) for ident, name in MODELS_OF_HONDA.items()
    )
    created = [Change(ModelChangeKind.CREATED, *model) for model in MODELS_OF_HONDA.items()]
    record_by_hand(MakeOfChange(HONDA, MAKES[HONDA]), created)
    return True
