"""The rules of a sync: the changes for one make, when they are held, and how they are stored."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import UpdateBase, and_, bindparam, delete, exists, func, literal, select, update
from sqlalchemy import insert as plain_insert

from automart.catalogue.models import (
    LARGEST_NHTSA_ID,
    LONGEST_REASON,
    OutcomeState,
    SyncOutcome,
    VehicleMake,
    VehicleModel,
)
from automart.core.batches import batched
from automart.core.db import db, insert, release_connection, rowcount, table_of, utcnow
from automart.core.text import name_key

READ_AHEAD = 200
MAX_DELETIONS_WITHOUT_APPROVAL = 3

MAKE = table_of(VehicleMake)
MODEL = table_of(VehicleModel)
OUTCOME = table_of(SyncOutcome)

# Executed for each make: built once, and without the ORM, which takes three times as long.
_STORED = (
    select(MODEL.c.id, MODEL.c.name)
    .select_from(
        MAKE.outerjoin(MODEL, and_(MODEL.c.make_id == MAKE.c.id, MODEL.c.id <= LARGEST_NHTSA_ID))
    )
    .where(MAKE.c.id == bindparam("of_make"))
    .with_for_update(of=MAKE)
)
_OWN = select(MODEL.c.id, MODEL.c.name_folded).where(
    MODEL.c.make_id == bindparam("of_make"), MODEL.c.id > LARGEST_NHTSA_ID
)
_DELETE = delete(MODEL).where(MODEL.c.id == bindparam("of_model"))
_SYNCED = (
    update(MAKE)
    .where(MAKE.c.id == bindparam("of_make"))
    .values(synced_at=bindparam("now"), held_since=None)
)
_HOLD = (
    update(MAKE)
    .where(MAKE.c.id == bindparam("of_make"), MAKE.c.held_since.is_(None))
    .values(held_since=bindparam("now"))
)
_CONCLUDE = (
    update(OUTCOME)
    .where(OUTCOME.c.job_id == bindparam("of_job"), OUTCOME.c.make_id == bindparam("of_make"))
    .values(
        {
            name: bindparam(name)
            for name in ("state", "created", "updated", "deleted", "would_delete", "reason")
        }
    )
)
NOTHING = {"created": 0, "updated": 0, "deleted": 0, "would_delete": 0, "reason": None}

NOT_REQUESTED = "Not requested"
EMPTY = "NHTSA's answer was empty"
GONE = "The make was deleted while the sync ran."


@dataclass(frozen=True, slots=True)
class PendingMake:
    """A make whose models have not been requested yet."""

    make_id: int
    name: str
    has_models: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes that make the stored names, by model id, equal to the fetched ones."""

    created: Mapping[int, str] = field(default_factory=dict)
    renamed: Mapping[int, str] = field(default_factory=dict)
    deleted: Sequence[int] = ()

    @classmethod
    def between(cls, stored: Mapping[int, str], fetched: Mapping[int, str]) -> Difference:
        return cls(
            created={i: name for i, name in fetched.items() if i not in stored},
            renamed={i: name for i, name in fetched.items() if stored.get(i, name) != name},
            deleted=[i for i in stored if i not in fetched],
        )

    @property
    def is_empty(self) -> bool:
        return not (self.created or self.renamed or self.deleted)


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


def enqueue_makes(job_id: uuid.UUID, make_ids: Sequence[int] | None) -> int:
    """Add a pending outcome for each make to sync. Return their number."""
    columns = (
        "job_id",
        "make_id",
        "make_name",
        "state",
        "created",
        "updated",
        "deleted",
        "would_delete",
    )
    zero = literal(0)
    makes = select(
        literal(job_id, SyncOutcome.job_id.type),
        VehicleMake.id,
        VehicleMake.name,
        literal(OutcomeState.PENDING, SyncOutcome.state.type),
        *(zero, zero, zero, zero),
    )
    makes = makes.where(MAKE.c.id <= LARGEST_NHTSA_ID)
    parts = [None] if make_ids is None else batched(make_ids)
    for part in parts:
        wanted = makes if part is None else makes.where(MAKE.c.id.in_(part))
        db.session.execute(plain_insert(OUTCOME).from_select(columns, wanted))
    return _count(job_id, OutcomeState.PENDING)


def pending_makes(job_id: uuid.UUID) -> Iterator[PendingMake]:
    """Yield pending makes in the order of their ids. No transaction is open while they are used."""
    last = 0
    has_models = exists().where(
        VehicleModel.make_id == SyncOutcome.make_id, VehicleModel.id <= LARGEST_NHTSA_ID
    )
    pending = select(SyncOutcome.make_id, SyncOutcome.make_name, has_models).where(
        SyncOutcome.job_id == job_id, SyncOutcome.state == OutcomeState.PENDING
    )
    while True:
        after = pending.where(SyncOutcome.make_id > last).order_by(SyncOutcome.make_id)
        rows = db.session.execute(after.limit(READ_AHEAD)).all()
        release_connection()
        if not rows:
            return
        for row in rows:
            yield PendingMake(*row)
        last = rows[-1].make_id


def apply(
    job_id: uuid.UUID, make: PendingMake, fetched: Mapping[int, str], *, approved: bool
) -> str | None:
    """Store the changes of one make and its outcome, in the current transaction. Return why they
    are held, None if they are not."""
    stored = _lock_and_read(make.make_id)
    if stored is None:
        record_outcome(job_id, make.make_id, OutcomeState.FAILED, reason=GONE)
        return None
    reason = None if approved else reason_to_hold(stored, fetched)
    if reason is not None:
        gone = sum(i not in fetched for i in stored)
        record_outcome(job_id, make.make_id, OutcomeState.HELD, would_delete=gone, reason=reason)
        db.session.execute(_HOLD, {"of_make": make.make_id, "now": utcnow()})
        return reason
    difference = Difference.between(stored, fetched)
    adopted = _adopt(make.make_id, difference)
    _write(make.make_id, difference)
    record_outcome(
        job_id,
        make.make_id,
        OutcomeState.UNCHANGED if difference.is_empty else OutcomeState.UPDATED,
        created=len(difference.created) - adopted,
        updated=len(difference.renamed) + adopted,
        deleted=len(difference.deleted),
    )
    return None


def record_outcome(job_id: uuid.UUID, make_id: int, state: OutcomeState, **values: Any) -> None:
    """Store the outcome of a make, in the current transaction."""
    found: dict[str, Any] = {"of_job": job_id, "of_make": make_id, "state": state}
    found |= {"reason": _shortened(values.pop("reason", None))}
    db.session.execute(_CONCLUDE, NOTHING | values | found)


def fail_remaining(job_id: uuid.UUID, reason: str) -> int:
    """Fail all pending makes, in the current transaction. Return their number."""
    pending = (SyncOutcome.job_id == job_id, SyncOutcome.state == OutcomeState.PENDING)
    failed = (
        update(SyncOutcome)
        .where(*pending)
        .values(state=OutcomeState.FAILED, reason=_shortened(reason))
    )
    return rowcount(failed)


def _shortened(reason: str | None) -> str | None:
    """Return a reason that fits into its column: PostgreSQL refuses longer ones."""
    return reason and reason[:LONGEST_REASON]


def summary(job_id: uuid.UUID) -> dict[str, Any]:
    """Return the result of a sync's job."""
    return {
        "makes_updated": _outcomes(job_id, OutcomeState.UPDATED, "created", "updated", "deleted"),
        "makes_unchanged": _count(job_id, OutcomeState.UNCHANGED),
        "makes_held": _outcomes(job_id, OutcomeState.HELD, "would_delete", "reason"),
        "makes_failed": _outcomes(job_id, OutcomeState.FAILED, "reason"),
    }


def _lock_and_read(make_id: int) -> dict[int, str] | None:
    """Lock a make. Return the names of its models by id, None if the make does not exist."""
    rows = db.session.execute(_STORED, {"of_make": make_id}).all()
    if not rows:
        return None
    return {ident: name for ident, name in rows if ident is not None}


def _adopt(make_id: int, difference: Difference) -> int:
    """Delete the models of our own whose names NHTSA's models come to have. Return how many of
    NHTSA's new models take the place of one."""
    if not (difference.created or difference.renamed):
        return 0
    own = {row.name_folded: row.id for row in db.session.execute(_OWN, {"of_make": make_id})}
    if not own:
        return 0
    created = {name_key(name) for name in difference.created.values()} & own.keys()
    renamed = {name_key(name) for name in difference.renamed.values()} & own.keys()
    adopted = created | renamed
    if adopted:
        db.session.execute(_DELETE, [{"of_model": own[key]} for key in adopted])
    return len(created)


def _write(make_id: int, difference: Difference) -> None:
    if difference.deleted:
        db.session.execute(_DELETE, [{"of_model": ident} for ident in difference.deleted])
    changed = {**difference.created, **difference.renamed}
    if changed:
        models = [
            {"id": ident, "make_id": make_id, "name": name, "name_folded": name_key(name)}
            for ident, name in changed.items()
        ]
        db.session.execute(_upsert(db.engine.dialect.name), models)
    db.session.execute(_SYNCED, {"of_make": make_id, "now": utcnow()})


@cache
def _upsert(_dialect: str) -> UpdateBase:
    """Return an INSERT that renames a model whose id exists, or moves it from another make."""
    models = insert(MODEL)
    new = {name: models.excluded[name] for name in ("make_id", "name", "name_folded")}
    return models.on_conflict_do_update(index_elements=["id"], set_=new)


def _count(job_id: uuid.UUID, state: OutcomeState) -> int:
    of_state = (SyncOutcome.job_id == job_id, SyncOutcome.state == state)
    return db.session.scalar(select(func.count()).select_from(SyncOutcome).where(*of_state)) or 0


def _outcomes(job_id: uuid.UUID, state: OutcomeState, *columns: str) -> list[dict[str, Any]]:
    of_state = (SyncOutcome.job_id == job_id, SyncOutcome.state == state)
    wanted = [getattr(SyncOutcome, name) for name in columns]
    rows = select(SyncOutcome.make_id, SyncOutcome.make_name, *wanted).where(*of_state)
    return [
        dict(zip(("id", "name", *columns), row, strict=True))
        for row in db.session.execute(rows.order_by(SyncOutcome.make_id))
    ]
