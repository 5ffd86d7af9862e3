"""The outcome of a sync on the terminal, and its exit status."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from automart.background import Job, JobState
from automart.catalogue.changes import published_changes
from automart.catalogue.held_makes import HeldMake
from automart.catalogue.models import ModelChange, ModelChangeKind
from automart.cli.changes import description, in_order
from automart.cli.console import Output
from automart.web.fields import rfc3339

MOST_ROWS = 100
MOST_NAMES = 5

Make = Mapping[str, Any]


class SyncExit(enum.IntEnum):
    """How a sync ended."""

    SUCCEEDED = 0
    FAILED = 1
    IN_PART = 3
    CANCELLED = 4


def print_outcome(console: Output, job: Job, *, verbose: bool = False) -> SyncExit:
    """Print the outcome of a sync, model by model if it is `verbose`. Return the exit status."""
    result, is_dry_run = job.result, _is_dry_run(job)
    if result is not None:
        _print_updated(console, result["makes_updated"], is_dry_run)
        _print_models(console, job, result, verbose=verbose)
        _print_refused(console, result["makes_held"], is_dry_run)
        _print_failed(console, result["makes_failed"])
        _line(console, _counts(result))
    if is_dry_run:
        _line(console, "This was a dry run: nothing has changed.")
    if job.state is JobState.CANCELLED:
        _line(console, "It was cancelled. Changes that it had stored are kept.")
        return SyncExit.CANCELLED
    if job.state is JobState.FAILED:
        _line(console, f"It failed. {(job.error or {}).get('detail', '')}".strip())
        return SyncExit.FAILED
    in_part = result is not None and (result["makes_held"] or result["makes_failed"])
    return SyncExit.IN_PART if in_part else SyncExit.SUCCEEDED


def print_held(console: Output, makes: Sequence[HeldMake]) -> None:
    """Print the makes that wait for approval, with the changes of their models."""
    if not makes:
        _line(console, "Nothing is held.")
        return
    for make in makes:
        since = f" since {rfc3339(make.since.replace(microsecond=0))}" if make.since else ""
        _line(console, f"{make.make_id} {make.name}, held{since}:")
        if make.sync_id is None:
            _line(console, "  The sync that held it has expired. The next one lists its models.")
            continue
        _line(console, f"  would delete {make.would_delete} models. {make.reason}.")
        for change in in_order(make.changes()):
            _line(console, f"  {description(change)}")
    _line(console, f"To approve one: automart sync --make {makes[0].make_id} --approve-deletions")
    _line(console, "To approve all: automart sync --held --approve-deletions")


def _is_dry_run(job: Job) -> bool:
    return bool((job.arguments or {}).get("dry_run"))


def _print_models(console: Output, job: Job, result: Mapping[str, Any], *, verbose: bool) -> None:
    """Print the changes of all models, or only own models that were replaced."""
    updated = any(make["updated"] for make in result["makes_updated"])
    if not (verbose or updated):
        return
    chosen = published_changes().where(ModelChange.sync_id == job.id)
    if not verbose:
        chosen = chosen.where(ModelChange.change == ModelChangeKind.ADOPTED)
    held = {make["id"] for make in result["makes_held"]}
    for change in in_order(chosen):
        make = f"{change.make_id} {change.make_name}"
        note = " (held)" if change.make_id in held else ""
        _line(console, f"  {make}{note}: {description(change)}")


def _print_updated(console: Output, makes: Sequence[Make], is_dry_run: bool) -> None:
    if not makes:
        return
    heading = "Make that would change" if is_dry_run else "Make that changed"
    table = Table("Id", heading, box=SIMPLE)
    for heading in ("Created", "Updated", "Deleted"):
        table.add_column(heading, justify="right")
    for make in makes[:MOST_ROWS]:
        numbers = (str(make[name]) for name in ("created", "updated", "deleted"))
        table.add_row(str(make["id"]), make["name"], *numbers)
    console.print(table)
    if len(makes) > MOST_ROWS:
        _line(console, f"… and {len(makes) - MOST_ROWS} more, all of them in the job's result.")


def _print_refused(console: Output, makes: Sequence[Make], is_dry_run: bool) -> None:
    if not makes:
        return
    _line(console, "Would be held:" if is_dry_run else "Held, without any change:")
    for make in makes[:MOST_ROWS]:
        would = f"would delete {make['would_delete']} models"
        _line(console, f"  {make['id']} {make['name']}: {would}. {make['reason']}.")
    if is_dry_run:
        return
    _line(console, "To see their models: automart sync --held")
    options = " ".join(f"--make {make['id']}" for make in makes[:MOST_ROWS])
    _line(console, f"If that is correct, approve it: automart sync {options} --approve-deletions")


def _print_failed(console: Output, makes: Sequence[Make]) -> None:
    by_reason: dict[str, list[Make]] = {}
    for make in makes:
        by_reason.setdefault(make["reason"], []).append(make)
    if by_reason:
        _line(console, "Failed:")
    for reason, those in by_reason.items():
        names = ", ".join(f"{make['id']} {make['name']}" for make in those[:MOST_NAMES])
        more = f" and {len(those) - MOST_NAMES} more" if len(those) > MOST_NAMES else ""
        _line(console, f"  {names}{more}: {reason}")


def _counts(result: Mapping[str, Any]) -> str:
    updated, held, failed = (len(result[f"makes_{name}"]) for name in ("updated", "held", "failed"))
    unchanged = result["makes_unchanged"]
    total = updated + unchanged + held + failed
    makes = "1 make" if total == 1 else f"{total} makes"
    return f"{makes}: {updated} updated, {unchanged} unchanged, {held} held, {failed} failed."


def _line(console: Output, line: str) -> None:
    console.print(line, soft_wrap=True)
