"""The outcome of a sync on the terminal, and its exit status."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from automart.background import Job, JobState

MOST_ROWS = 100
MOST_NAMES = 5

Make = Mapping[str, Any]


class SyncExit(enum.IntEnum):
    """How a sync ended."""

    SUCCEEDED = 0
    FAILED = 1
    IN_PART = 3
    CANCELLED = 4


def print_outcome(console: Console, job: Job) -> SyncExit:
    """Print the outcome of a sync. Return the exit status."""
    result = job.result
    if result is not None:
        _print_updated(console, result["makes_updated"])
        _print_held(console, result["makes_held"])
        _print_failed(console, result["makes_failed"])
        _line(console, _counts(result))
    if job.state is JobState.CANCELLED:
        _line(console, "It was cancelled. Changes that it had stored are kept.")
        return SyncExit.CANCELLED
    if job.state is JobState.FAILED:
        _line(console, f"It failed. {(job.error or {}).get('detail', '')}".strip())
        return SyncExit.FAILED
    in_part = result is not None and (result["makes_held"] or result["makes_failed"])
    return SyncExit.IN_PART if in_part else SyncExit.SUCCEEDED


def _print_updated(console: Console, makes: Sequence[Make]) -> None:
    if not makes:
        return
    table = Table("Id", "Make that changed", box=SIMPLE)
    for heading in ("Created", "Updated", "Deleted"):
        table.add_column(heading, justify="right")
    for make in makes[:MOST_ROWS]:
        numbers = (str(make[name]) for name in ("created", "updated", "deleted"))
        table.add_row(str(make["id"]), make["name"], *numbers)
    console.print(table, markup=False)
    if len(makes) > MOST_ROWS:
        _line(console, f"… and {len(makes) - MOST_ROWS} more, all of them in the job's result.")


def _print_held(console: Console, makes: Sequence[Make]) -> None:
    if not makes:
        return
    _line(console, "Held, without any change:")
    for make in makes[:MOST_ROWS]:
        would = f"would delete {make['would_delete']} models"
        _line(console, f"  {make['id']} {make['name']}: {would}. {make['reason']}.")
    options = " ".join(f"--make {make['id']}" for make in makes[:MOST_ROWS])
    _line(console, f"If that is correct, approve it: automart sync {options} --approve-deletions")


def _print_failed(console: Console, makes: Sequence[Make]) -> None:
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


def _line(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
