"""What a sync would change in some makes, and whether an operator must approve it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, or_, select

from automart.catalogue.changes import Change, Place, places_after
from automart.catalogue.models import (
    LARGEST_NHTSA_ID,
    MakeOfChange,
    ModelChangeKind,
    VehicleMake,
    VehicleModel,
)
from automart.core.batches import batched
from automart.core.db import db, table_of
from automart.core.text import name_key

MAX_DELETIONS_WITHOUT_APPROVAL = 3
EMPTY = "NHTSA's answer was empty"

MAKE = table_of(VehicleMake)
MODEL = table_of(VehicleModel)

# Built once, and without the ORM, which takes three times as long. The order is that in which
# everything locks: makes, then models, by their ids.
_STORED = (
    select(MAKE.c.id.label("make_id"), MAKE.c.name.label("make_name"), MODEL.c.id, MODEL.c.name)
    .select_from(
        MAKE.outerjoin(MODEL, and_(MODEL.c.make_id == MAKE.c.id, MODEL.c.id <= LARGEST_NHTSA_ID))
    )
    .where(MAKE.c.id.in_(bindparam("of_makes", expanding=True)))
    .order_by(MAKE.c.id)
    .with_for_update(of=MAKE, key_share=True)  # sales and cars of the makes need not wait
)
# Our own models of the makes, and NHTSA's models that stand under another one so far.
_AFFECTED = (
    select(MODEL.c.id, MODEL.c.make_id, MODEL.c.name, MODEL.c.name_folded)
    .where(
        or_(
            and_(
                MODEL.c.make_id.in_(bindparam("of_makes", expanding=True)),
                MODEL.c.id > LARGEST_NHTSA_ID,
            ),
            MODEL.c.id.in_(bindparam("of_models", expanding=True)),
        )
    )
    .order_by(MODEL.c.id)
    .with_for_update()
)

Names = Mapping[int, str]
"""Names of a make's models by their ids."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes that make the stored models of a make equal to the fetched ones.

    `reason_to_hold` says why an operator must approve them, None if they can be applied.
    """

    make: MakeOfChange
    changes: list[Change]
    reason_to_hold: str | None

    def count(self, *kinds: ModelChangeKind) -> int:
        return sum(change.change in kinds for change in self.changes)


def plans(
    fetched: Mapping[int, Names], *, approved: bool, dry_run: uuid.UUID | None = None
) -> list[Plan]:
    """Lock some makes, and what their changes affect. Return the plans of those that exist.

    Each plan assumes that those before it were applied. For a dry run, they also assume that what
    its job has done so far was applied.
    """
    stored = _Stored(fetched, dry_run)
    return [
        stored.plan(make_id, names, approved=approved)
        for make_id, names in fetched.items()
        if make_id in stored.names
    ]


def changes_between(
    stored: Names, fetched: Names, elsewhere: Mapping[int, Place | None], own: Mapping[str, int]
) -> list[Change]:
    """Return the changes from the stored to the fetched names, by id, in the order of ids.

    `elsewhere` are models that stand under another make so far. `own` are the ids of our own models
    by the form in which their names are compared: each is replaced by one of NHTSA's at most.
    """
    changes = []
    left = dict(own)
    for ident in sorted(stored.keys() | fetched.keys()):
        name, stored_name = fetched.get(ident), stored.get(ident)
        if name is None:
            changes.append(Change(ModelChangeKind.DELETED, ident, str(stored_name)))
        elif name != stored_name:
            replaced = left.pop(name_key(name), None) if left else None
            place = elsewhere.get(ident) if stored_name is None else None
            changes.append(_arrival(ident, name, stored_name, place, replaced))
    return changes


def reason_to_hold(stored: Names, fetched: Names) -> str | None:
    """Return why an operator must approve the changes, None if they can be applied.

    A mass deletion may be true, or a faulty answer.
    """
    gone = sum(i not in fetched for i in stored)
    if stored and not fetched:
        return EMPTY
    if gone > MAX_DELETIONS_WITHOUT_APPROVAL and gone * 3 > len(stored):
        return f"It would delete {gone} of {len(stored)} models"
    return None


class _Stored:
    """The models of some makes as they are stored, and as they become plan by plan."""

    def __init__(self, fetched: Mapping[int, Names], dry_run: uuid.UUID | None) -> None:
        self.names: dict[int, str] = {}
        self._models: dict[int, dict[int, str]] = {}
        # Where models stand that are new to one of the makes. None: nowhere.
        self._places: dict[int, Place | None] = {}
        self._own: dict[int, dict[str, int]] = {}
        self._read_models(fetched)
        moved = self._read_dry_run(fetched, dry_run) if dry_run else {}
        self._read_affected(fetched, moved)

    def plan(self, make_id: int, fetched: Names, *, approved: bool) -> Plan:
        stored, make = self._models[make_id], MakeOfChange(make_id, self.names[make_id])
        if stored == fetched:
            return Plan(make, [], None)
        changes = changes_between(stored, fetched, self._places, self._own.get(make_id, {}))
        reason = None if approved else reason_to_hold(stored, fetched)
        if reason is None:
            self._apply(make_id, changes)
        return Plan(make, changes, reason)

    def _apply(self, make_id: int, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.change is ModelChangeKind.DELETED:
                self._places[change.model_id] = None
                continue
            self._places[change.model_id] = Place(make_id, change.name)
            if change.previous_make_id in self._models:
                self._models[change.previous_make_id].pop(change.model_id, None)

    def _read_models(self, make_ids: Iterable[int]) -> None:
        for row in db.session.execute(_STORED, {"of_makes": list(make_ids)}):
            if row.make_id not in self.names:
                self.names[row.make_id] = row.make_name
                self._models[row.make_id] = {}
            if row.id is not None:
                self._models[row.make_id][row.id] = row.name

    def _read_dry_run(
        self, fetched: Mapping[int, Names], dry_run: uuid.UUID
    ) -> dict[int, Place | None]:
        """Remove the models that it would have moved to other makes. Return what it would have done
        with those that are stored or fetched."""
        idents = {i for names in (*self._models.values(), *fetched.values()) for i in names}
        moved = places_after(dry_run, sorted(idents))
        for models in self._models.values():
            for ident in models.keys() & moved.keys():
                del models[ident]  # none of these makes was updated yet
        return moved

    def _read_affected(
        self, fetched: Mapping[int, Names], moved: Mapping[int, Place | None]
    ) -> None:
        changed = {i for i in self.names if fetched[i] != self._models[i]}
        if not changed:
            return
        new = {ident for i in changed for ident in fetched[i].keys() - self._models[i].keys()}
        # A plan may take a model from a make that has it, to which it is new then.
        makes = [i for i in self.names if i in changed or not new.isdisjoint(fetched[i])]
        for part in list(batched(sorted(new))) or [()]:
            for row in db.session.execute(_AFFECTED, {"of_makes": makes, "of_models": part}):
                if row.id > LARGEST_NHTSA_ID:
                    self._own.setdefault(row.make_id, {})[row.name_folded] = row.id
                else:
                    self._places[row.id] = Place(row.make_id, row.name)
        self._places |= {ident: place for ident, place in moved.items() if ident in new}


def _arrival(
    ident: int, name: str, stored_name: str | None, place: Place | None, replaced: int | None
) -> Change:
    previous = stored_name if place is None else place.name
    if replaced is not None:
        kind = ModelChangeKind.ADOPTED
    elif place is not None:
        kind = ModelChangeKind.MOVED
    else:
        kind = ModelChangeKind.CREATED if stored_name is None else ModelChangeKind.RENAMED
    return Change(
        kind,
        ident,
        name,
        previous_name=None if previous == name else previous,
        previous_make_id=None if place is None else place.make_id,
        replaced_id=replaced,
    )
