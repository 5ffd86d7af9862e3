"""Migration 0013 finds the makes that are held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import flask_migrate
import sqlalchemy as sa

from automart.background.models import Job
from automart.catalogue.models import SyncOutcome, VehicleMake
from automart.core.db import db, table_of
from tests.support.setup import application, make_settings

SYNCED_AT = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)


def test_makes_that_the_last_sync_held_are_held_after_the_migration(tmp_path: Path) -> None:
    settings = make_settings(f"sqlite:///{tmp_path}/old.sqlite", instance=tmp_path)
    with application(settings) as app, app.app_context():
        flask_migrate.upgrade(revision="0012")
        earlier, later = (_add_sync(SYNCED_AT + timedelta(hours=hours)) for hours in (-24, 24))
        _add_make(1, SYNCED_AT, {earlier: "held", later: "held"})
        _add_make(2, SYNCED_AT, {earlier: "held", later: "failed"})
        _add_make(3, None, {earlier: "held", later: "failed"})
        _add_make(4, SYNCED_AT, {later: "unchanged"})
        flask_migrate.upgrade()
        held = sa.select(VehicleMake.id).where(VehicleMake.held_since.is_not(None))
        assert set(db.session.scalars(held)) == {1, 3}
        flask_migrate.downgrade(revision="0012")


def _add_sync(at: datetime) -> str:
    ident = uuid4()
    values = {"id": ident, "kind": "vehicle_sync", "arguments": {}, "time_limit": 60}
    values |= {"state": "succeeded", "created_at": at, "due_at": at, "finished_at": at}
    with db.engine.begin() as connection:
        connection.execute(table_of(Job).insert(), values)
    return ident


def _add_make(ident: int, synced_at: datetime | None, outcomes: dict[str, str]) -> None:
    name = f"Make {ident}"
    make = {"id": ident, "name": name, "name_folded": name, "synced_at": synced_at}
    counts = dict.fromkeys(("created", "updated", "deleted", "would_delete"), 0)
    with db.engine.begin() as connection:
        connection.execute(table_of(VehicleMake).insert(), make)
        for job_id, state in outcomes.items():
            row = {"job_id": job_id, "make_id": ident, "make_name": name, "state": state}
            connection.execute(table_of(SyncOutcome).insert(), row | counts)
