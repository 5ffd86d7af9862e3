"""What a sync would change in one make, and whether an operator must approve it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, or_, select

from automart.catalogue.changes import Change, Place, moved_out, places_after
from automart.catalogue.models import LARGEST_NHTSA_ID, ModelChangeKind, VehicleMake, VehicleModel
from automart.core.batches import batched
from automart.core.db import db, table_of
from automart.core.text import name_key

MAX_DELETIONS_WITHOUT_APPROVAL = 3
EMPTY = "NHTSA's answer was empty"

MAKE = table_of(VehicleMake)
MODEL = table_of(VehicleModel)

# Executed for each make: built once, and without the ORM, which takes three times as long.
_STORED = (
    select(MAKE.c.name.label("make_name"), MODEL.c.id, MODEL.c.name)
    .select_from(
        MAKE.outerjoin(MODEL, and_(MODEL.c.make_id == MAKE.c.id, MODEL.c.id <= LARGEST_NHTSA_ID))
    )
    .where(MAKE.c.id == bindparam("of_make"))
    .with_for_update(of=MAKE, key_share=True)  # sales and cars of the make need not wait
)
# Our own models of the make, and NHTSA's models that stand under another one so far.
_AFFECTED = (
    select(MODEL.c.id, MODEL.c.make_id, MODEL.c.name, MODEL.c.name_folded)
    .where(
        or_(
            and_(MODEL.c.make_id == bindparam("of_make"), MODEL.c.id > LARGEST_NHTSA_ID),
            MODEL.c.id.in_(bindparam("of_models", expanding=True)),
        )
    )
    .order_by(MODEL.c.id)
    .with_for_update()
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A make as it is stored: its name, and the names of NHTSA's models by id."""

    make_id: int
    make_name: str
    models: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes that make the stored models of a make equal to the fetched ones."""

    changes: Sequence[Change] = ()

    def count(self, *kinds: ModelChangeKind) -> int:
        return sum(change.change in kinds for change in self.changes)


def lock_make(make_id: int, dry_run: uuid.UUID | None = None) -> Stored | None:
    """Lock a make and read NHTSA's models of it, None if it does not exist.

    For a dry run, return what its job would have left there.
    """
    rows = db.session.execute(_STORED, {"of_make": make_id}).all()
    if not rows:
        return None
    models = {row.id: row.name for row in rows if row.id is not None}
    if dry_run:
        for model_id in moved_out(dry_run, make_id):
            models.pop(model_id, None)
    return Stored(make_id, rows[0].make_name, models)


def plan(stored: Stored, fetched: Mapping[int, str], dry_run: uuid.UUID | None = None) -> Plan:
    """Return the changes for a make, whose own models and models to come are locked."""
    if stored.models == fetched:
        return Plan()
    elsewhere: dict[int, Place] = {}
    own: dict[str, int] = {}
    if any(stored.models.get(ident) != name for ident, name in fetched.items()):
        new = [ident for ident in fetched if ident not in stored.models]
        for part in list(batched(new)) or [[]]:
            elsewhere |= _places(stored.make_id, part, own, dry_run)
    return Plan(changes_between(stored.models, fetched, elsewhere, own))


def changes_between(
    stored: Mapping[int, str],
    fetched: Mapping[int, str],
    elsewhere: Mapping[int, Place],
    own: Mapping[str, int],
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
            changes.append(_arrival(ident, name, stored_name, elsewhere.get(ident), replaced))
    return changes


def reason_to_hold(stored: Mapping[int, str], fetched: Mapping[int, str]) -> str | None:
    """Return why an operator must approve the changes, None if they can be applied.

    A mass deletion may be true, or a faulty answer.
    """
    gone = sum(i not in fetched for i in stored)
    if stored and not fetched:
        return EMPTY
    if gone > MAX_DELETIONS_WITHOUT_APPROVAL and gone * 3 > len(stored):
        return f"It would delete {gone} of {len(stored)} models"
    return None


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


def _places(
    make_id: int, model_ids: Sequence[int], own: dict[str, int], dry_run: uuid.UUID | None
) -> dict[int, Place]:
    """Return which of these models stand under other makes. Add our own models to `own`."""
    parameters = {"of_make": make_id, "of_models": model_ids}
    found: dict[int, Place] = {}
    for row in db.session.execute(_AFFECTED, parameters):
        if row.id > LARGEST_NHTSA_ID:
            own[row.name_folded] = row.id
        else:
            found[row.id] = Place(row.make_id, row.name)
    if not dry_run:
        return found
    moved = places_after(dry_run, model_ids)
    return {ident: place for ident, place in (found | moved).items() if place is not None}
