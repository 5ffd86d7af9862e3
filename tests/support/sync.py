"""Short ways to say what vehicle syncs are about."""

from __future__ import annotations

from automart.background import Job
from automart.catalogue.models import VehicleMake, VehicleModel
from automart.core.db import db, transaction
from sandbox import Catalogue

Models = dict[int, dict[int, str]]


def add_makes(catalogue: Catalogue) -> None:
    """Put the makes of a catalogue into the database, without models."""
    with transaction():
        db.session.add_all(
            VehicleMake(id=make_id, name=name.strip()) for make_id, name in catalogue.makes.items()
        )


def add_models(models: Models) -> None:
    """Put models into the database; the makes are made where they are missing."""
    with transaction():
        for make_id, names in models.items():
            db.session.merge(VehicleMake(id=make_id, name=f"Make {make_id}"))
            db.session.flush()
            db.session.add_all(
                VehicleModel(id=ident, make_id=make_id, name=name) for ident, name in names.items()
            )


def catalogue_of(models: Models) -> Catalogue:
    """What a vPIC with these models serves."""
    makes = {make_id: f"MAKE {make_id}" for make_id in models}
    return Catalogue(makes, {make_id: list(names.items()) for make_id, names in models.items()})


def stored_models() -> Models:
    """What the database holds: the names of models by make and id."""
    db.session.rollback()
    found: Models = {}
    columns = (VehicleModel.make_id, VehicleModel.id, VehicleModel.name)
    for make_id, ident, name in db.session.query(*columns):
        found.setdefault(make_id, {})[ident] = name
    return found


def served_models(catalogue: Catalogue) -> Models:
    """What vPIC serves, as it should be stored: trimmed, and nothing for a make without models."""
    return {
        make_id: {ident: name.strip() for ident, name in models}
        for make_id, models in catalogue.models.items()
        if models
    }


def the_job() -> Job:
    """The only job there is, freshly read."""
    db.session.rollback()
    return db.session.query(Job).populate_existing().one()
