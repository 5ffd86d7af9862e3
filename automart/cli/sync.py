"""`automart sync`: start a sync and show its progress."""

from __future__ import annotations

from typing import Annotated

import typer

from automart.background import SubmittedJob
from automart.catalogue.held_makes import held_makes
from automart.catalogue.schemas import MAX_MAKES_PER_SYNC
from automart.catalogue.service import SyncRunning, start_sync
from automart.cli.application import check_schema, opened
from automart.cli.arguments import make_id
from automart.cli.console import Output
from automart.cli.errors import CommandError
from automart.cli.job_progress import watch
from automart.cli.sync_report import print_held, print_outcome
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, show what would change.")
    ] = False,
    held: Annotated[
        bool,
        typer.Option(
            "--held",
            help="List what waits for approval by model. With --approve-deletions, apply it.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the changes model by model.")
    ] = False,
) -> None:
    """Update models to those of NHTSA, and show what changed.

    A worker runs the sync. Ctrl-C ends this command, but not the sync. If an equal sync is active,
    its progress is shown and no new one is started.

    Exit status: 0 success · 1 the sync failed, or could not be started · 2 wrong usage · 3 success,
    but some makes failed or were held · 4 the sync was cancelled · 130 Ctrl-C.
    """
    if approve_deletions and not (make or held):
        raise typer.BadParameter(
            "--approve-deletions needs --make, or --held for all that is held."
        )
    if held and dry_run and not approve_deletions:
        raise typer.BadParameter("--held only lists. It needs no --dry-run.")
    if make and len(make) > MAX_MAKES_PER_SYNC:
        raise typer.BadParameter(f"At most {MAX_MAKES_PER_SYNC} makes can be named.")
    console = Output()
    with opened():
        check_schema()
        if held:
            waiting = held_makes(make)
            if not waiting or not approve_deletions:
                print_held(console, waiting)
                return
            make = [each.make_id for each in waiting]
        job = submit_sync(console, make, approve_deletions=approve_deletions, dry_run=dry_run)
        with Endings() as stop:
            job = watch(job.id, console, STEPS, stop=stop)
        if not job.state.has_ended:
            console.print(_continues(job), soft_wrap=True)
            raise typer.Exit(STOPPED_WATCHING)
        status = print_outcome(console, job, verbose=verbose)
    raise typer.Exit(status)


def submit_sync(
    console: Output,
    make_ids: list[int] | None = None,
    *,
    approve_deletions: bool = False,
    dry_run: bool = False,
) -> SubmittedJob:
    """Submit a sync, or return the equal active one. Raises `CommandError` for another one."""
    now = utcnow()
    try:
        with transaction():
            job = start_sync(make_ids or None, approve_deletions, dry_run=dry_run, owner=OWNER)
    except SyncRunning as error:
        message = f"{error.detail} It is job {error.job_id}: POST /jobs/{error.job_id}/cancel"
        raise CommandError(message) from None
    if job.created_at < now:
        console.print(f"The same sync is running already: job {job.id}")
    else:
        console.print(f"Sync submitted: job {job.id}")
    return job


def _continues(job: SubmittedJob) -> str:
    return f"The sync continues. To cancel it: POST /jobs/{job.id}/cancel"
