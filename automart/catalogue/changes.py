"""The log of changes of models: written in the transaction of each change, read in order.

A reader keeps the id of the last change that it has read, and asks for those after it. So ids must
become visible in their order, and none may be lost once it was read:

- Ids come from a counter, whose row stays locked until the transaction ends. The next writer waits,
  so a larger id is never committed before a smaller one.
- Syncs commit without waiting for the disk, and a power failure may undo their last commits. So
  readers see ids up to the published one only, which transactions that do wait for the disk raise.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Insert,
    Integer,
    Select,
    String,
    UpdateBase,
    bindparam,
    column,
    func,
    literal,
    select,
    true,
)
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.dml import ReturningInsert

from automart.catalogue.models import (
    Counter,
    IdCounter,
    ModelChange,
    ModelChangeKind,
    OutcomeState,
    SyncOutcome,
)
from automart.core.db import db, insert, table_of, utcnow

COUNTER = table_of(IdCounter)
CHANGE = table_of(ModelChange)
OUTCOME = table_of(SyncOutcome)

_INSERT = plain_insert(CHANGE)
_PUBLISHED = (
    select(COUNTER.c.last).where(COUNTER.c.name == Counter.PUBLISHED_CHANGE).scalar_subquery()
)

# What a dry run would have applied so far. Its changes of held makes are not among it.
_OF_DRY_RUN = (
    select(CHANGE.c.model_id, CHANGE.c.change, CHANGE.c.make_id, CHANGE.c.name)
    .join(
        OUTCOME,
        (OUTCOME.c.job_id == CHANGE.c.proposed_by) & (OUTCOME.c.make_id == CHANGE.c.make_id),
    )
    .where(CHANGE.c.proposed_by == bindparam("of_job"), OUTCOME.c.state == OutcomeState.UPDATED)
    .order_by(CHANGE.c.id)
)
_MOVED_OUT = _OF_DRY_RUN.where(CHANGE.c.previous_make_id == bindparam("of_make"))
_OF_MODELS = _OF_DRY_RUN.where(CHANGE.c.model_id.in_(bindparam("of_models", expanding=True)))


class Change(NamedTuple):
    """What becomes of one model. `previous_name` and `previous_make_id` are what it had before, if
    they change; `replaced_id` is the model of our own that it replaces."""

    change: ModelChangeKind
    model_id: int
    name: str
    previous_name: str | None = None
    previous_make_id: int | None = None
    replaced_id: int | None = None


class Place(NamedTuple):
    """The make under which a model stands, and its name there."""

    make_id: int
    name: str


def next_id(counter: Counter, count: int = 1, *, start: int = 0) -> int:
    """Return the last of `count` ids above `start` that were never used before.

    Other transactions wait for the next ones until the current one ends.
    """
    parameters = {"counter": counter, "first": start + count, "count": count}
    last: int = db.session.execute(_raised(db.engine.dialect.name), parameters).scalar_one()
    return last


def record(
    make_id: int,
    make_name: str,
    changes: Sequence[Change],
    *,
    sync_id: uuid.UUID | None = None,
    is_proposal: bool = False,
) -> None:
    """Record the changes of one make, in the order of their models, in the current transaction.

    Call it last: other writers wait for the end of the transaction from here on. Proposals were not
    applied, and are deleted with the job of their sync.
    """
    if not changes:
        return
    db.session.flush()  # what waits for locks must do so before the counter is locked
    rows = [each._asdict() for each in sorted(changes, key=lambda each: each.model_id)]
    common = {
        "make_id": make_id,
        "make_name": make_name,
        "sync_id": sync_id,
        "proposed_by": sync_id if is_proposal else None,
    }
    if db.engine.dialect.name == "postgresql":  # one statement takes half the time of two
        numbered = [row | {"position": position} for position, row in enumerate(rows, 1)]
        counted = {"counter": Counter.MODEL_CHANGE, "first": len(rows), "count": len(rows)}
        db.session.execute(_count_and_insert(), {"rows": numbered, **counted, **common})
        return
    first = next_id(Counter.MODEL_CHANGE, len(rows)) - len(rows) + 1
    common["at"] = utcnow()
    db.session.execute(_INSERT, [{"id": i, **row, **common} for i, row in enumerate(rows, first)])


def record_by_hand(make_id: int, make_name: str, changes: Sequence[Change]) -> None:
    """Record changes that no sync makes, in the current transaction, which must be durable."""
    record(make_id, make_name, changes)
    if changes:
        publish()


def publish() -> None:
    """Show readers all changes so far, with the current transaction, which must be durable."""
    db.session.execute(_publication(db.engine.dialect.name))


def is_published() -> bool:
    """Return whether readers see all changes."""
    last = select(COUNTER.c.last).where(COUNTER.c.name == Counter.MODEL_CHANGE).scalar_subquery()
    row = db.session.execute(select(last.label("last"), _PUBLISHED.label("published"))).one()
    return bool(row.last == row.published)


def published_changes() -> Select[ModelChange]:
    """Select the changes that readers may see."""
    return select(ModelChange).where(ModelChange.id <= _PUBLISHED)


def moved_out(job_id: uuid.UUID, make_id: int) -> set[int]:
    """Return the models that a dry run would have moved from this make to another one."""
    rows = db.session.execute(_MOVED_OUT, {"of_job": job_id, "of_make": make_id})
    return {row.model_id for row in rows}


def places_after(job_id: uuid.UUID, model_ids: Sequence[int]) -> dict[int, Place | None]:
    """Return where a dry run would have put these models, None for those that it would have
    deleted. Models that it has left alone are not in the result."""
    rows = db.session.execute(_OF_MODELS, {"of_job": job_id, "of_models": model_ids})
    return {
        row.model_id: None
        if row.change is ModelChangeKind.DELETED
        else Place(row.make_id, row.name)
        for row in rows
    }


@cache
def _raised(_dialect: str) -> ReturningInsert[Any]:
    first = insert(COUNTER).values(name=bindparam("counter"), last=bindparam("first"))
    last = COUNTER.c.last + bindparam("count", type_=Integer)
    raised = first.on_conflict_do_update(index_elements=["name"], set_={"last": last})
    return raised.returning(COUNTER.c.last)


@cache
def _count_and_insert() -> Insert:
    """Return an INSERT of `rows` with the next ids of the counter, and the time of its lock."""
    counter = _raised("postgresql").returning(func.clock_timestamp().label("at")).cte("counter")
    of_row = [column(name, CHANGE.c[name].type) for name in Change._fields]
    of_row[0] = column("change", String)
    rows = func.jsonb_to_recordset(bindparam("rows", type_=JSONB)).table_valued(
        column("position", Integer), *of_row, name="rows"
    )
    rows = rows.render_derived(with_types=True)
    common = [CHANGE.c[name] for name in ("make_id", "make_name", "sync_id", "proposed_by")]
    values = select(
        counter.c.last - bindparam("count", type_=Integer) + rows.c.position,
        counter.c.at,
        *(rows.c[name] for name in Change._fields),
        *(bindparam(each.name, type_=each.type) for each in common),
    ).select_from(counter.join(rows, true()))
    names = ["id", "at", *Change._fields, *(each.name for each in common)]
    return plain_insert(CHANGE).from_select(names, values)


@cache
def _publication(_dialect: str) -> UpdateBase:
    last = select(literal(Counter.PUBLISHED_CHANGE.value), COUNTER.c.last)
    raised = insert(COUNTER).from_select(
        ["name", "last"], last.where(COUNTER.c.name == Counter.MODEL_CHANGE)
    )
    return raised.on_conflict_do_update(
        index_elements=["name"],
        set_={"last": raised.excluded.last},
        where=COUNTER.c.last < raised.excluded.last,
    )
