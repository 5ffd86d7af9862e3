"""Makes that are held, with the changes that wait for approval."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select

from automart.catalogue.changes import published_changes
from automart.catalogue.models import ModelChange, OutcomeState, SyncOutcome, VehicleMake
from automart.core.db import db
from automart.core.errors import Invalid


@dataclass(frozen=True, slots=True)
class HeldMake:
    """A make that is held, and the last sync that held it: None if that has expired."""

    make_id: int
    name: str
    since: datetime | None
    sync_id: uuid.UUID | None = None
    would_delete: int = 0
    reason: str | None = None

    def changes(self) -> Select[ModelChange]:
        """Select the changes that wait for approval, in the order of their models."""
        change = ModelChange
        of_sync = published_changes().where(change.sync_id == self.sync_id)
        return of_sync.where(change.make_id == self.make_id).order_by(change.id)


def held_makes(make_ids: Sequence[int] | None = None) -> list[HeldMake]:
    """Return the makes that are held, or those of `make_ids`. Raises `Invalid` if one is not."""
    is_held = VehicleMake.held_since.is_not(None)
    makes = select(VehicleMake.id, VehicleMake.name, VehicleMake.held_since).where(is_held)
    outcomes = (
        select(
            *(SyncOutcome.make_id, SyncOutcome.job_id),
            *(SyncOutcome.would_delete, SyncOutcome.reason),
        )
        .join(VehicleMake, VehicleMake.id == SyncOutcome.make_id)
        .where(is_held, SyncOutcome.state == OutcomeState.HELD)
        .order_by(SyncOutcome.job_id)
    )
    last = {make_id: rest for make_id, *rest in db.session.execute(outcomes)}
    rows = db.session.execute(makes.order_by(VehicleMake.id))
    found = {row.id: HeldMake(*row, *last.get(row.id, ())) for row in rows}
    unknown = sorted(set(make_ids or ()) - found.keys())
    if unknown:
        raise Invalid(f"Make {unknown[0]} is not held.")
    return [make for ident, make in found.items() if not make_ids or ident in make_ids]
