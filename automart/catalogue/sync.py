"""A sync: its makes, the storing of their changes, and their outcomes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import UpdateBase, bindparam, delete, exists, func, literal, select, update
from sqlalchemy import insert as plain_insert

from automart.catalogue.changes import record
from automart.catalogue.models import (
    LARGEST_NHTSA_ID,
    LONGEST_REASON,
    ModelChangeKind,
    OutcomeState,
    SyncOutcome,
    VehicleMake,
    VehicleModel,
)
from automart.catalogue.plan import Plan, lock_make, plan, reason_to_hold
from automart.core.batches import batched
from automart.core.db import db, insert, release_connection, rowcount, table_of, utcnow
from automart.core.text import name_key

READ_AHEAD = 200

MAKE = table_of(VehicleMake)
MODEL = table_of(VehicleModel)
OUTCOME = table_of(SyncOutcome)

# Executed for each make: built once, and without the ORM, which takes three times as long.
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
GONE = "The make was deleted while the sync ran."


@dataclass(frozen=True, slots=True)
class PendingMake:
    """A make whose models have not been requested yet."""

    make_id: int
    name: str
    has_models: bool


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
    job_id: uuid.UUID,
    make: PendingMake,
    fetched: Mapping[int, str],
    *,
    approved: bool,
    dry_run: bool = False,
) -> str | None:
    """Store the changes of one make and its outcome, in the current transaction. Return why they
    are held, None if they are not.

    A dry run stores the outcome alone. The changes that are not applied are recorded as proposals.
    """
    dry_run_id = job_id if dry_run else None
    stored = lock_make(make.make_id, dry_run_id)
    if stored is None:
        record_outcome(job_id, make.make_id, OutcomeState.FAILED, reason=GONE)
        return None
    reason = None if approved else reason_to_hold(stored.models, fetched)
    planned = plan(stored, fetched, dry_run_id)
    if reason is not None:
        _hold(job_id, make.make_id, planned, reason, dry_run=dry_run)
    else:
        if not dry_run:
            _write(make.make_id, planned)
        _record_applied(job_id, make.make_id, planned)
    is_proposal = dry_run or reason is not None
    record(
        stored.make_id, stored.make_name, planned.changes, sync_id=job_id, is_proposal=is_proposal
    )
    return reason


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


def _hold(job_id: uuid.UUID, make_id: int, planned: Plan, reason: str, *, dry_run: bool) -> None:
    gone = planned.count(ModelChangeKind.DELETED)
    record_outcome(job_id, make_id, OutcomeState.HELD, would_delete=gone, reason=reason)
    if not dry_run:
        db.session.execute(_HOLD, {"of_make": make_id, "now": utcnow()})


def _record_applied(job_id: uuid.UUID, make_id: int, planned: Plan) -> None:
    record_outcome(
        job_id,
        make_id,
        OutcomeState.UPDATED if planned.changes else OutcomeState.UNCHANGED,
        created=planned.count(ModelChangeKind.CREATED, ModelChangeKind.MOVED),
        updated=planned.count(ModelChangeKind.RENAMED, ModelChangeKind.ADOPTED),
        deleted=planned.count(ModelChangeKind.DELETED),
    )


def _write(make_id: int, planned: Plan) -> None:
    gone, present = [], []
    for change in planned.changes:
        if change.change is ModelChangeKind.DELETED:
            gone.append({"of_model": change.model_id})
            continue
        if change.replaced_id is not None:
            gone.append({"of_model": change.replaced_id})
        values = {"id": change.model_id, "make_id": make_id, "name": change.name}
        present.append(values | {"name_folded": name_key(change.name)})
    if gone:
        db.session.execute(_DELETE, gone)
    if present:
        db.session.execute(_upsert(db.engine.dialect.name), present)
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
