"""`automart sync`: orders a sync and watches it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from automart.background import Job
from automart.catalogue.schemas import MOST_MAKES_OF_A_SYNC
from automart.catalogue.service import SyncRunning, request_sync
from automart.cli.application import check_schema, opened
from automart.cli.arguments import make_id
from automart.cli.errors import CommandError
from automart.cli.job_progress import watch
from automart.cli.sync_report import tell_outcome
from automart.core.db import transaction, utcnow
from automart.core.interrupts import Endings

OWNER = "command line"
STEPS = "makes"
STOPPED_WATCHING = 130


def sync(
    make: Annotated[
        list[int] | None,
        typer.Option(parser=make_id, metavar="ID", help="Sync this make only; may be repeated."),
    ] = None,
    approve_deletions: Annotated[
        bool, typer.Option("--approve-deletions", help="Apply what was held for these makes.")
    ] = False,
) -> None:
    """Bring the models of all makes, or of some, in step with NHTSA, and show what changes.

    A worker does the work. Ctrl-C stops watching, and the sync goes on. An equal sync that runs
    already is watched instead of a new one.

    Exit status: 0 all is well · 1 it failed, or could not be ordered · 2 wrong usage · 3 it
    succeeded, but some makes failed or were held · 4 it was cancelled · 130 Ctrl-C.
    """
    if approve_deletions and not make:
        raise typer.BadParameter("--approve-deletions needs --make: approve make by make.")
    if make and len(make) > MOST_MAKES_OF_A_SYNC:
        raise typer.BadParameter(f"At most {MOST_MAKES_OF_A_SYNC} makes can be named.")
    console = Console()
    with opened():
        check_schema()
        job = order_sync(console, make, approve_deletions=approve_deletions)
        with Endings() as stop:
            job = watch(job.id, console, STEPS, stop=stop)
        if not job.state.has_ended:
            console.print(_goes_on(job), highlight=False, soft_wrap=True)
            raise typer.Exit(STOPPED_WATCHING)
        status = tell_outcome(console, job)
    raise typer.Exit(status)


def order_sync(
    console: Console, make_ids: list[int] | None = None, *, approve_deletions: bool = False
) -> Job:
    """Order a sync, or find the equal one that runs. Raises `CommandError` if another one does."""
    now = utcnow()
    try:
        with transaction():
            job = request_sync(make_ids or None, approve_deletions, owner=OWNER)
    except SyncRunning as error:
        message = f"{error.detail} It is job {error.job_id}: POST /jobs/{error.job_id}/cancel"
        raise CommandError(message) from None
    if job.created_at < now:
        console.print(f"The same sync is under way already: job {job.id}", highlight=False)
    else:
        console.print(f"Sync ordered: job {job.id}", highlight=False)
    return job


def _goes_on(job: Job) -> str:
    return f"The sync goes on. To cancel it: POST /jobs/{job.id}/cancel"
