"""`automart changes`: what became of models."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from sqlalchemy import Select

from automart.catalogue.changes import first_id_since, published_changes
from automart.catalogue.models import ModelChange
from automart.cli.application import check_schema, opened
from automart.cli.arguments import make_id, time
from automart.core.db import db, release_connection
from automart.core.text import escape_controls
from automart.web.fields import rfc3339

ROWS_AT_ONCE = 500


def changes(
    make: Annotated[
        int | None,
        typer.Option(parser=make_id, metavar="ID", help="Only models of this make."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=time, metavar="TIME", help="Only changes at or after this time."),
    ] = None,
) -> None:
    """List what became of models: created, renamed, moved, deleted or adopted. Oldest first.

    Times without an offset are in UTC. What waits for approval is listed by `automart sync --held`.
    """
    chosen = published_changes().where(ModelChange.proposed_by.is_(None))
    if make is not None:
        chosen = chosen.where(ModelChange.make_id == make)
    with opened():
        check_schema()
        if since is not None:
            first_id = first_id_since(since)
            chosen = chosen.where(ModelChange.at >= since, ModelChange.id >= first_id)
        is_empty = True
        for change in in_order(chosen):
            is_empty = False
            at = rfc3339(change.at.replace(microsecond=0))
            line = f"{at}  {change.make_id} {change.make_name}: {description(change)}"
            typer.echo(escape_controls(line))
    if is_empty:
        typer.echo("There are no such changes.", err=True)


def in_order(chosen: Select[ModelChange]) -> Iterator[ModelChange]:
    """Yield changes in the order of their ids. No transaction is open while they are used."""
    last = 0
    while True:
        after = chosen.where(ModelChange.id > last).order_by(None).order_by(ModelChange.id)
        found = db.session.scalars(after.limit(ROWS_AT_ONCE)).all()
        release_connection()
        yield from found
        if len(found) < ROWS_AT_ONCE:
            return
        last = found[-1].id
        db.session.expunge_all()


def description(change: ModelChange) -> str:
    """Return a change in words."""
    notes = []
    if change.previous_name is not None:
        notes.append(f"was {change.previous_name}")
    if change.previous_make_id is not None:
        notes.append(f"from make {change.previous_make_id}")
    if change.replaced_id is not None:
        notes.append(f"instead of your own model {change.replaced_id}")
    text = f"{change.change} {change.model_id} {change.name}"
    return f"{text} ({', '.join(notes)})" if notes else text
