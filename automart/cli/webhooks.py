"""`automart webhooks`: list and redeliver webhook deliveries."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Column, Table
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import joinedload

from automart.cli.application import check_schema, opened
from automart.cli.arguments import time
from automart.cli.console import Output
from automart.cli.errors import IN_PART
from automart.core.db import db, transaction
from automart.core.db_types import LARGEST_ID
from automart.core.errors import Conflict, NotFound
from automart.web.fields import rfc3339
from automart.webhooks import deliveries
from automart.webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

DEFAULT_LIMIT = 100
MAX_OUTCOME_LENGTH = 60

webhooks_app = typer.Typer(no_args_is_help=True, help="List and redeliver webhook deliveries.")


Since = Annotated[
    datetime | None,
    typer.Option(parser=time, metavar="TIME", help="Only events at or after this time."),
]
Until = Annotated[
    datetime | None,
    typer.Option(parser=time, metavar="TIME", help="Only events before this time."),
]
Office = Annotated[
    int | None, typer.Option(min=1, max=LARGEST_ID, help="Only deliveries to this regional office.")
]


@webhooks_app.command("list")
def list_deliveries(
    state: Annotated[
        DeliveryState | None, typer.Option(help="Only deliveries in this state.")
    ] = None,
    office: Office = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[
        int, typer.Option(min=1, max=LARGEST_ID, help="Maximum number to list.")
    ] = DEFAULT_LIMIT,
) -> None:
    """List deliveries, newest first. Times without an offset are in UTC."""
    chosen = _chosen(state, office, since, until)
    with opened():
        check_schema()
        newest = select(WebhookDelivery).where(*chosen).order_by(WebhookDelivery.id.desc())
        newest = newest.options(joinedload(WebhookDelivery.endpoint))
        found = list(db.session.scalars(newest.limit(limit)))
        count = db.session.scalar(select(func.count(WebhookDelivery.id)).where(*chosen)) or 0
    Output().print(_table(found))
    if count > len(found):
        typer.echo(f"… and {count - len(found)} more")


@webhooks_app.command("redeliver")
def redeliver_chosen(
    delivery: Annotated[
        list[int] | None,
        typer.Argument(min=1, max=LARGEST_ID, metavar="[ID]...", help="Ids of deliveries."),
    ] = None,
    office: Office = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Redeliver the given deliveries, or all failed ones of a time range.

    If one of the given ids does not exist, nothing is redelivered.
    Exit status: 0 all are pending · 1 error · 2 wrong usage · 3 an office's webhook is inactive.
    """
    if bool(delivery) == bool(office or since or until):
        raise typer.BadParameter("Give ids, or a range by --since, --until and --office.")
    chosen = (
        [WebhookDelivery.id.in_(delivery)]
        if delivery
        else _chosen(DeliveryState.FAILED, office, since, until)
    )
    with opened():
        check_schema()
        if delivery:
            _check_known(delivery)
        counts = _counts_by_endpoint(chosen)
        refused = [
            refusal
            for endpoint, count in counts
            if (refusal := _redeliver_to(endpoint, count, chosen))
        ]
    if not counts:
        typer.echo("There is nothing to redeliver.")
    for refusal in refused:
        typer.echo(refusal, err=True)
    raise typer.Exit(IN_PART if refused else 0)


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
        endpoint_id = select(WebhookEndpoint.id).where(WebhookEndpoint.regional_office_id == office)
        conditions.append(WebhookDelivery.endpoint_id == endpoint_id.scalar_subquery())
    if since is not None:
        conditions.append(WebhookDelivery.created_at >= since)
    if until is not None:
        conditions.append(WebhookDelivery.created_at < until)
    return conditions


def _check_known(ids: Collection[int]) -> None:
    """Raise `NotFound` that names the ids that do not exist."""
    known = select(WebhookDelivery.id).where(WebhookDelivery.id.in_(ids))
    missing = sorted(set(ids) - set(db.session.scalars(known)))
    if missing:
        raise NotFound(f"There is no webhook delivery {', '.join(map(str, missing))}.")


def _counts_by_endpoint(
    chosen: Iterable[ColumnElement[bool]],
) -> list[tuple[WebhookEndpoint, int]]:
    """Return each endpoint of the chosen deliveries with their number."""
    endpoint_id = WebhookDelivery.endpoint_id
    counts = select(endpoint_id, func.count()).where(*chosen).group_by(endpoint_id).subquery()
    endpoints = select(WebhookEndpoint, counts.c.count).join(
        counts, counts.c.endpoint_id == WebhookEndpoint.id
    )
    found = db.session.execute(endpoints.order_by(WebhookEndpoint.regional_office_id))
    return [(endpoint, count) for endpoint, count in found]


def _redeliver_to(
    endpoint: WebhookEndpoint, count: int, chosen: Iterable[ColumnElement[bool]]
) -> str | None:
    """Redeliver the chosen deliveries of an endpoint. Return why it was refused, None if not."""
    office_id = endpoint.regional_office_id
    try:
        with transaction():
            deliveries.redeliver(endpoint.id, select(WebhookDelivery).where(*chosen))
    except Conflict as error:
        return f"{count} not redelivered: {error.detail}"
    typer.echo(f"Redelivering {count} to regional office {office_id}.")
    return None


def _table(found: Iterable[WebhookDelivery]) -> Table:
    outcomes = Column("last", overflow="fold")
    table = Table("id", "office", "purchase", "state", "tries", "next", outcomes, box=None)
    for delivery in found:
        at = delivery.next_attempt_at
        last = delivery.attempts[-1] if delivery.attempts else None
        outcome = "" if last is None else last.error or str(last.status)
        table.add_row(
            str(delivery.id),
            str(delivery.endpoint.regional_office_id),
            delivery.subject.removeprefix("purchase:"),
            delivery.state,
            str(len(delivery.attempts)),
            rfc3339(at.replace(microsecond=0)) if at else "",
            outcome[:MAX_OUTCOME_LENGTH],
        )
    return table
