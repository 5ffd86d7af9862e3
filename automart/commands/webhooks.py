"""`automart webhooks`: deliveries to look at, and to order again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from sqlalchemy import ColumnElement, func, select

from automart.api.fields import rfc3339
from automart.commands.application import check_schema, opened
from automart.db import LARGEST_ID, db, transaction
from automart.errors import Conflict, NotFound
from automart.purchases import deliveries
from automart.purchases.models import DeliveryState, WebhookDelivery

MOST_LISTED = 100
LONGEST_OUTCOME = 60

webhooks_app = typer.Typer(no_args_is_help=True, help="Webhooks on their way to the offices.")


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("Must be like 2026-01-15T08:30Z or 2026-01-15.") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


Since = Annotated[
    datetime | None, typer.Option(parser=_time, metavar="TIME", help="Of changes from then on.")
]
Until = Annotated[
    datetime | None, typer.Option(parser=_time, metavar="TIME", help="Of changes before then.")
]
Office = Annotated[
    int | None, typer.Option(min=1, max=LARGEST_ID, help="To this regional office alone.")
]


@webhooks_app.command("list")
def list_deliveries(
    state: Annotated[DeliveryState | None, typer.Option(help="Only those.")] = None,
    office: Office = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = MOST_LISTED,
) -> None:
    """List deliveries, the newest first. Times without an offset are in UTC."""
    chosen = _chosen(state, office, since, until)
    with opened():
        check_schema()
        newest = select(WebhookDelivery).where(*chosen).order_by(WebhookDelivery.id.desc())
        found = list(db.session.scalars(newest.limit(limit)))
        count = db.session.scalar(select(func.count(WebhookDelivery.id)).where(*chosen)) or 0
    Console().print(_table(found))
    if count > len(found):
        typer.echo(f"… and {count - len(found)} more")


@webhooks_app.command("redeliver")
def redeliver(
    delivery: Annotated[
        list[int] | None,
        typer.Argument(min=1, max=LARGEST_ID, metavar="[ID]...", help="These deliveries."),
    ] = None,
    office: Office = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Deliver again: the deliveries named, or all failed ones of a time range.

    If one of those named is not there, none is.
    Exit status: 0 all are on their way · 1 it failed · 2 wrong usage · 3 an office cannot be told.
    """
    if bool(delivery) == bool(office or since or until):
        raise typer.BadParameter("Name deliveries, or a range: --since, --until, --office.")
    chosen = (
        [WebhookDelivery.id.in_(delivery)]
        if delivery
        else _chosen(DeliveryState.FAILED, office, since, until)
    )
    with opened():
        check_schema()
        if delivery:
            _check_known(delivery)
        counts = _counts_by_office(chosen)
        refused = [
            refusal
            for office_id, count in counts.items()
            if (refusal := _redeliver_to(office_id, count, chosen))
        ]
    if not counts:
        typer.echo("There are none to deliver.")
    for refusal in refused:
        typer.echo(refusal, err=True)
    raise typer.Exit(3 if refused else 0)


def _chosen(
    state: DeliveryState | None,
    office: int | None,
    since: datetime | None,
    until: datetime | None,
) -> list[ColumnElement[bool]]:
    conditions = []
    if state is not None:
        conditions.append(WebhookDelivery.state == state)
    if office is not None:
        conditions.append(WebhookDelivery.regional_office_id == office)
    if since is not None:
        conditions.append(WebhookDelivery.created_at >= since)
    if until is not None:
        conditions.append(WebhookDelivery.created_at < until)
    return conditions


def _check_known(ids: Collection[int]) -> None:
    """Raise `NotFound` that names those of `ids` which are of no delivery."""
    known = select(WebhookDelivery.id).where(WebhookDelivery.id.in_(ids))
    missing = sorted(set(ids) - set(db.session.scalars(known)))
    if missing:
        raise NotFound(f"There is no webhook delivery {', '.join(map(str, missing))}.")


def _counts_by_office(chosen: Iterable[ColumnElement[bool]]) -> dict[int, int]:
    office_id = WebhookDelivery.regional_office_id
    counts = select(office_id, func.count()).where(*chosen).group_by(office_id).order_by(office_id)
    return {row[0]: row[1] for row in db.session.execute(counts)}


def _redeliver_to(office_id: int, count: int, chosen: Iterable[ColumnElement[bool]]) -> str | None:
    """Order again what is chosen of an office's. Answers why not, if the office cannot be told."""
    try:
        with transaction():
            deliveries.redeliver(office_id, select(WebhookDelivery).where(*chosen))
    except Conflict as error:
        return f"{count} not delivered: {error.detail}"
    typer.echo(f"{count} on their way to the regional office {office_id}.")
    return None


def _table(found: Iterable[WebhookDelivery]) -> Table:
    table = Table("id", "office", "purchase", "state", "tries", "next", Column("last"), box=None)
    for delivery in found:
        at = delivery.next_attempt_at
        last = delivery.attempts[-1] if delivery.attempts else None
        outcome = "" if last is None else last.error or str(last.status)
        table.add_row(
            str(delivery.id),
            str(delivery.regional_office_id),
            str(delivery.purchase_id),
            delivery.state,
            str(len(delivery.attempts)),
            rfc3339(at.replace(microsecond=0)) if at else "",
            outcome[:LONGEST_OUTCOME],
        )
    return table
