"""Migration 0017 goes on with the ids of own makes and models that exist."""

from __future__ import annotations

from pathlib import Path

import flask_migrate

from automart.catalogue.models import VehicleMake, VehicleModel
from automart.catalogue.service import create_make, create_model
from automart.core.db import db, table_of, transaction
from tests.support.setup import application, make_settings

FIRST_OWN_ID = 1_000_000_000_001


def test_new_ids_are_above_those_that_exist(tmp_path: Path) -> None:
    settings = make_settings(f"sqlite:///{tmp_path}/old.sqlite", instance=tmp_path)
    with application(settings) as app, app.app_context():
        flask_migrate.upgrade(revision="0016")
        with db.engine.begin() as connection:
            for ident in (474, FIRST_OWN_ID + 6):
                make = {"id": ident, "name": str(ident), "name_folded": str(ident)}
                connection.execute(table_of(VehicleMake).insert(), make)
            model = {"id": 1861, "make_id": 474, "name": "Accord", "name_folded": "accord"}
            connection.execute(table_of(VehicleModel).insert(), model)
        flask_migrate.upgrade()
        with transaction():
            assert create_make({"name": "Dacia"}).id == FIRST_OWN_ID + 7
            assert create_model({"make_id": 474, "name": "Jazz"}).id == FIRST_OWN_ID
        flask_migrate.downgrade(revision="0016")
