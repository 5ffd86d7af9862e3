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
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Insert,
    Integer,
    Row,
    Select,
    String,
    UpdateBase,
    bindparam,
    func,
    literal,
    select,
)
from sqlalchemy import insert as plain_insert
from sqlalchemy.sql.dml import ReturningInsert

from automart.catalogue.models import (
    Counter,
    IdCounter,
    MakeOfChange,
    ModelChange,
    ModelChangeKind,
    OutcomeState,
    SyncOutcome,
)
from automart.core.batches import batched
from automart.core.db import db, insert, table_of, utcnow
from automart.core.db_types import BigId
from automart.core.json_rows import json_rows

CLOCK_TOLERANCE = timedelta(hours=1)

COUNTER = table_of(IdCounter)
CHANGE = table_of(ModelChange)
OUTCOME = table_of(SyncOutcome)

_PUBLISHED = (
    select(COUNTER.c.last).where(COUNTER.c.name == Counter.PUBLISHED_CHANGE).scalar_subquery()
)

_NEXT = (
    select(CHANGE.c.id, CHANGE.c.at)
    .where(CHANGE.c.id >= bindparam("first"))
    .order_by(CHANGE.c.id)
    .limit(1)
)

# PostgreSQL has no statistics of a dry run that is under way. If it could find the job by an index,
# it would read all that was proposed so far.
_PROPOSED = (
    select(CHANGE.c.model_id, CHANGE.c.change, CHANGE.c.make_id, CHANGE.c.name)
    .where(
        CHANGE.c.model_id.in_(bindparam("of_models", expanding=True)),
        CHANGE.c.proposed_by.is_not_distinct_from(bindparam("of_job")),
    )
    .order_by(CHANGE.c.id)
)
_UPDATED = select(OUTCOME.c.make_id).where(
    OUTCOME.c.job_id == bindparam("of_job"),
    OUTCOME.c.make_id.in_(bindparam("of_makes", expanding=True)),
    OUTCOME.c.state == OutcomeState.UPDATED,
)


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
    return _next_id(counter, count, start)[0]


def record(
    changes: Mapping[MakeOfChange, Sequence[Change]],
    *,
    sync_id: uuid.UUID | None = None,
    proposed: Container[MakeOfChange] = (),
) -> None:
    """Record the changes of makes, of each in the order of its models, in the current transaction.

    Call it last: other writers wait for the end of the transaction from here on. The changes of the
    makes in `proposed` were not applied, and are deleted with the job of their sync.
    """
    proposed_by = sync_id and sync_id.hex
    rows = [
        {
            "make_id": make.id,
            "make_name": make.name,
            "proposed_by": proposed_by if make in proposed else None,
            **change._asdict(),
        }
        for make, of_make in changes.items()
        for change in sorted(of_make, key=lambda each: each.model_id)
    ]
    if not rows:
        return
    db.session.flush()  # what waits for locks must do so before the counter is locked
    last, at = _next_id(Counter.MODEL_CHANGE, len(rows))
    for ident, row in enumerate(rows, last - len(rows) + 1):
        row["id"] = ident
    parameters = {"rows": rows, "at": at, "sync_id": sync_id}
    db.session.execute(_insert(db.engine.dialect.name), parameters)


def record_by_hand(make: MakeOfChange, changes: Sequence[Change]) -> None:
    """Record changes that no sync makes, in the current transaction, which must be durable."""
    record({make: changes})
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


def first_id_since(time: datetime) -> int:
    """Return an id that none of the changes at or after `time` is below.

    It is found by a few reads, because ids rise with time. A clock that was set back by no more
    than `CLOCK_TOLERANCE` does no harm.
    """
    counted = select(COUNTER.c.last).where(COUNTER.c.name == Counter.MODEL_CHANGE)
    low, high = 1, (db.session.scalar(counted) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = db.session.execute(_NEXT, {"first": middle}).one_or_none()
        if row is None or row.at + CLOCK_TOLERANCE >= time:
            high = middle
        else:
            low = row.id + 1
    return low


def places_after(job_id: uuid.UUID, model_ids: Iterable[int]) -> dict[int, Place | None]:
    """Return where a dry run would have put these models, None for those that it would have
    deleted. Models that it has left alone are not in the result."""
    rows: list[Row[Any]] = []
    for part in batched(model_ids):
        rows += db.session.execute(_PROPOSED, {"of_job": job_id, "of_models": part})
    if not rows:
        return {}
    # Changes of held makes were proposed, but would not have been applied.
    parameters = {"of_job": job_id, "of_makes": {row.make_id for row in rows}}
    updated = set(db.session.scalars(_UPDATED, parameters))
    return {
        row.model_id: None
        if row.change is ModelChangeKind.DELETED
        else Place(row.make_id, row.name)
        for row in rows
        if row.make_id in updated
    }


def _next_id(counter: Counter, count: int, start: int = 0) -> tuple[int, datetime]:
    """Return the last of the next `count` ids, and the time at which the counter was locked."""
    parameters = {"counter": counter, "first": start + count, "count": count}
    row = db.session.execute(_raised(db.engine.dialect.name), parameters).one()
    return row.last, row.at if "at" in row._fields else utcnow()


@cache
def _raised(dialect: str) -> ReturningInsert[Any]:
    first = insert(COUNTER).values(name=bindparam("counter"), last=bindparam("first"))
    last = COUNTER.c.last + bindparam("count", type_=Integer)
    raised = first.on_conflict_do_update(index_elements=["name"], set_={"last": last})
    if dialect == "postgresql":  # its clock counts: those of hosts disagree
        return raised.returning(
            COUNTER.c.last, func.clock_timestamp(type_=CHANGE.c.at.type).label("at")
        )
    return raised.returning(COUNTER.c.last)


@cache
def _insert(dialect: str) -> Insert:
    of_row: dict[str, Any] = dict.fromkeys(
        ("id", "make_id", "model_id", "previous_make_id", "replaced_id"), BigId
    )
    of_row |= dict.fromkeys(("make_name", "change", "name", "previous_name"), String())
    of_row["proposed_by"] = CHANGE.c.proposed_by.type
    rows = json_rows(dialect, "rows", of_row)
    common = [bindparam(name, type_=CHANGE.c[name].type) for name in ("at", "sync_id")]
    names = [*of_row, *(each.key for each in common)]
    return plain_insert(CHANGE).from_select(names, select(*rows.c, *common))


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
