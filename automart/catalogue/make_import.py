"""Importing makes from a list. Makes that exist stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from automart.catalogue.models import VehicleMake
from automart.core.db import db, insert
from automart.core.text import name_key


@dataclass
class Imported:
    """The outcome of an import. `refused` has the reason for each id."""

    added: int = 0
    present: int = 0
    refused: dict[str, str] = field(default_factory=dict)

    def include(self, other: Imported) -> None:
        self.added += other.added
        self.present += other.present
        self.refused |= other.refused


def add_missing(names: Mapping[int, str]) -> Imported:
    """Add the makes that do not exist, at most `BATCH_SIZE` of them, in the current transaction.

    A make that exists keeps its name. One whose name another make has is refused.
    """
    folded = {ident: name_key(name) for ident, name in names.items()}
    present = set(db.session.scalars(select(VehicleMake.id).where(VehicleMake.id.in_(names))))
    namesakes = select(VehicleMake.name_folded, VehicleMake.id)
    owners = {
        row.name_folded: row.id
        for row in db.session.execute(namesakes.where(VehicleMake.name_folded.in_(folded.values())))
    }
    imported = Imported(present=len(present))
    rows = []
    for ident, name in names.items():
        if ident in present:
            continue
        owner = owners.setdefault(folded[ident], ident)
        if owner == ident:
            rows.append({"id": ident, "name": name, "name_folded": folded[ident]})
        else:
            imported.refused[str(ident)] = f"{name}: make {owner} has this name already."
    imported.added = len(rows)
    if rows:
        db.session.execute(insert(VehicleMake).values(rows))
    return imported
