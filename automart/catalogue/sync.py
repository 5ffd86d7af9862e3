"""A sync: its makes, the storing of their changes, and their outcomes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    String,
    UpdateBase,
    bindparam,
    delete,
    exists,
    func,
    literal,
    select,
    true,
    update,
)
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
from automart.catalogue.plan import Names, Plan, plans
from automart.core.batches import batched
from automart.core.db import db, insert, release_connection, rowcount, table_of, utcnow
from automart.core.db_types import BigId
from automart.core.json_rows import json_rows
from automart.core.text import name_key

READ_AHEAD = 200

MAKE = table_of(VehicleMake)
MODEL = table_of(VehicleModel)
OUTCOME = table_of(SyncOutcome)

# Built once, and without the ORM, which takes three times as long.
_DELETE = delete(MODEL).where(MODEL.c.id.in_(bindparam("of_models", expanding=True)))
_SYNCED = (
    update(MAKE)
    .where(MAKE.c.id.in_(bindparam("of_makes", expanding=True)))
    .values(synced_at=bindparam("now"), held_since=None)
)
_HOLD = (
    update(MAKE)
    .where(MAKE.c.id.in_(bindparam("of_makes", expanding=True)), MAKE.c.held_since.is_(None))
    .values(held_since=bindparam("now"))
)
_COUNTS = ("created", "updated", "deleted", "would_delete")
_NOTHING: dict[str, Any] = {**dict.fromkeys(_COUNTS, 0), "reason": None}

NOT_REQUESTED = "Not requested"
GONE = "The make was deleted while the sync ran."


@dataclass(frozen=True, slots=True)
class PendingMake:
    """A make whose models have not been requested yet."""

    make_id: int
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
    pending = select(SyncOutcome.make_id, has_models).where(
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
    fetched: Mapping[int, Names],
    *,
    approved: bool,
    dry_run: bool = False,
) -> list[Plan]:
    """Store the changes of some makes and their outcomes, in the current transaction. Return those
    that are held.

    A dry run stores the outcomes alone. The changes that are not applied are recorded as proposals.
    """
    planned = plans(fetched, approved=approved, dry_run=job_id if dry_run else None)
    applied = [plan for plan in planned if plan.reason_to_hold is None]
    held = [plan for plan in planned if plan.reason_to_hold is not None]
    deleted = fetched.keys() - {plan.make.id for plan in planned}
    _record_outcomes(job_id, [*map(_outcome, planned), *(_failed(i, GONE) for i in deleted)])
    if not dry_run:
        _write(applied)
        _hold(held)
    proposed = {plan.make for plan in (planned if dry_run else held)}
    record({plan.make: plan.changes for plan in planned}, sync_id=job_id, proposed=proposed)
    return held


def fail(job_id: uuid.UUID, reasons: Mapping[int, str]) -> None:
    """Record the failures of makes, in the current transaction."""
    _record_outcomes(job_id, [_failed(make_id, reason) for make_id, reason in reasons.items()])


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


def _outcome(plan: Plan) -> dict[str, Any]:
    outcome = {"make_id": plan.make.id, **_NOTHING}
    if plan.reason_to_hold is not None:
        outcome["state"] = OutcomeState.HELD
        outcome["would_delete"] = plan.count(ModelChangeKind.DELETED)
        outcome["reason"] = _shortened(plan.reason_to_hold)
        return outcome
    outcome["state"] = OutcomeState.UPDATED if plan.changes else OutcomeState.UNCHANGED
    outcome["created"] = plan.count(ModelChangeKind.CREATED, ModelChangeKind.MOVED)
    outcome["updated"] = plan.count(ModelChangeKind.RENAMED, ModelChangeKind.ADOPTED)
    outcome["deleted"] = plan.count(ModelChangeKind.DELETED)
    return outcome


def _failed(make_id: int, reason: str) -> dict[str, Any]:
    failed = {"state": OutcomeState.FAILED, "reason": _shortened(reason)}
    return {"make_id": make_id, **_NOTHING, **failed}


def _record_outcomes(job_id: uuid.UUID, outcomes: Sequence[Mapping[str, Any]]) -> None:
    if outcomes:
        rows = [{"job_id": job_id.hex, **outcome} for outcome in outcomes]
        db.session.execute(_conclusion(db.engine.dialect.name), {"outcomes": rows})


def _hold(held: Sequence[Plan]) -> None:
    if held:
        make_ids = [plan.make.id for plan in held]
        db.session.execute(_HOLD, {"of_makes": make_ids, "now": utcnow()})


def _write(applied: Sequence[Plan]) -> None:
    gone: list[int] = []
    present: dict[int, dict[str, Any]] = {}
    for plan in applied:
        for change in plan.changes:
            if change.change is ModelChangeKind.DELETED:
                gone.append(change.model_id)
                continue
            if change.replaced_id is not None:
                gone.append(change.replaced_id)
            values = {"id": change.model_id, "make_id": plan.make.id, "name": change.name}
            present[change.model_id] = values | {"name_folded": name_key(change.name)}
    for part in batched(gone):
        db.session.execute(_DELETE, {"of_models": part})
    if present:  # after the deletions: a model may have gone to another make
        parameters = {"models": list(present.values())}
        db.session.execute(_upsert(db.engine.dialect.name), parameters)
    if applied:
        make_ids = [plan.make.id for plan in applied]
        db.session.execute(_SYNCED, {"of_makes": make_ids, "now": utcnow()})


@cache
def _conclusion(dialect: str) -> UpdateBase:
    columns: dict[str, Any] = dict.fromkeys(("make_id", *_COUNTS), BigId)
    columns |= dict.fromkeys(("state", "reason"), String())
    columns["job_id"] = OUTCOME.c.job_id.type
    rows = json_rows(dialect, "outcomes", columns)
    # Were the job a parameter, SQLite would read all its outcomes for each row.
    of_row = (OUTCOME.c.job_id == rows.c.job_id, OUTCOME.c.make_id == rows.c.make_id)
    values = {name: rows.c[name] for name in (*_COUNTS, "state", "reason")}
    return update(OUTCOME).where(*of_row).values(values)


@cache
def _upsert(dialect: str) -> UpdateBase:
    """Return an INSERT that renames a model whose id exists, or moves it from another make."""
    columns: dict[str, Any] = dict.fromkeys(("id", "make_id"), BigId)
    columns |= dict.fromkeys(("name", "name_folded"), String())
    rows = json_rows(dialect, "models", columns)
    # SQLite would take ON CONFLICT for a condition of a join, were there no WHERE.
    models = insert(MODEL).from_select(list(columns), select(*rows.c).where(true()))
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
