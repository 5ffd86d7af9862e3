"""Helpers for tests of vehicle syncs."""

from __future__ import annotations

from automart.background import Job
from automart.catalogue.models import VehicleMake, VehicleModel
from automart.core.db import db, transaction
from sandbox import Catalogue

Models = dict[int, dict[int, str]]


def add_makes(catalogue: Catalogue) -> None:
    """Store the makes of a catalogue, without models."""
    with transaction():
        db.session.add_all(
            VehicleMake(id=make_id, name=name.strip()) for make_id, name in catalogue.makes.items()
        )


def add_models(models: Models) -> None:
    """Store models, and their makes if they are missing."""
    with transaction():
        for make_id, names in models.items():
            db.session.merge(VehicleMake(id=make_id, name=f"Make {make_id}"))
            db.session.flush()
            db.session.add_all(
                VehicleModel(id=ident, make_id=make_id, name=name) for ident, name in names.items()
            )


def catalogue_of(models: Models) -> Catalogue:
    """Return a catalogue with these models."""
    makes = {make_id: f"MAKE {make_id}" for make_id in models}
    return Catalogue(makes, {make_id: list(names.items()) for make_id, names in models.items()})


def stored_models() -> Models:
    """Return the stored names of models by make and id."""
    db.session.rollback()
    found: Models = {}
    columns = (VehicleModel.make_id, VehicleModel.id, VehicleModel.name)
    for make_id, ident, name in db.session.query(*columns):
        found.setdefault(make_id, {})[ident] = name
    return found


def served_models(catalogue: Catalogue) -> Models:
    """Return the models of vPIC as they should be stored: trimmed, without empty makes."""
    return {
        make_id: {ident: name.strip() for ident, name in models}
        for make_id, models in catalogue.models.items()
        if models
    }


def the_job() -> Job:
    """Return the only job, freshly read."""
    db.session.rollback()
    return db.session.query(Job).populate_existing().one()
