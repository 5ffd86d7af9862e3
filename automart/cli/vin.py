"""`automart vin`: decode VINs."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from automart.background import Job, JobState
from automart.cli.application import check_schema, opened
from automart.cli.console import Output
from automart.cli.job_progress import watch
from automart.core.db import transaction
from automart.core.interrupts import Endings
from automart.vins.check_digit import NOT_A_VIN, is_vin
from automart.vins.schemas import MAX_VINS
from automart.vins.service import submit_decoding

OWNER = "command line"
STEPS = "VINs"
UNKNOWN = "-"
COLUMNS = {
    "Make": "make",
    "Model": "model",
    "Year": "year",
    "Body": "body_class",
    "Fuel": "fuel_type",
    "Built in": "plant_country",
}

Vehicle = Mapping[str, Any]


class VinExit(enum.IntEnum):
    """How a decoding ended."""

    SUCCEEDED = 0
    FAILED = 1
    IN_PART = 3
    STOPPED_WATCHING = 130


def read_vin(text: str) -> str:
    """Parse a VIN, and return it in capitals."""
    vin = text.strip()
    if not is_vin(vin):
        raise typer.BadParameter(f"{text!r} is not a VIN. {NOT_A_VIN}")
    return vin.upper()


def vin(
    vins: Annotated[
        list[str],
        typer.Argument(
            parser=read_vin, metavar="VIN...", help="17 letters and digits, at most 50 VINs."
        ),
    ],
) -> None:
    """Show make, model, year and more of vehicles by their VINs, and warnings.

    A worker asks NHTSA, whose answers are kept for 30 days. Ctrl-C ends this command, but not the
    decoding.

    Exit status: 0 success · 1 failure · 2 wrong usage · 3 NHTSA does not know the make of some
    VINs · 130 Ctrl-C.
    """
    if len(vins) > MAX_VINS:
        raise typer.BadParameter(f"At most {MAX_VINS} VINs can be decoded at once.")
    console = Output()
    with opened():
        check_schema()
        with transaction():
            job = submit_decoding(vins, owner=OWNER)
        with Endings() as stop:
            job = watch(job.id, console, STEPS, stop=stop)
        status = print_decoding(console, job)
    raise typer.Exit(status)


def print_decoding(console: Output, job: Job) -> VinExit:
    """Print the vehicles of a job, or why there are none. Return the exit status."""
    if not job.state.has_ended:
        _line(console, f"The decoding continues: job {job.id}")
        return VinExit.STOPPED_WATCHING
    if job.state is not JobState.SUCCEEDED or job.result is None:
        _line(console, f"It failed. {(job.error or {}).get('detail', '')}".strip())
        return VinExit.FAILED
    vehicles: Sequence[Vehicle] = job.result["vehicles"]
    _print_vehicles(console, vehicles)
    for vehicle in vehicles:
        for warning in vehicle["warnings"]:
            _line(console, f"{vehicle['vin']}: {warning}")
    is_known = all(vehicle["make"] is not None for vehicle in vehicles)
    return VinExit.SUCCEEDED if is_known else VinExit.IN_PART


def _print_vehicles(console: Output, vehicles: Sequence[Vehicle]) -> None:
    table = Table(box=SIMPLE)
    table.add_column("VIN", no_wrap=True)
    for heading in COLUMNS:
        table.add_column(heading, overflow="fold")
    for vehicle in vehicles:
        values = (vehicle[name] for name in COLUMNS.values())
        table.add_row(vehicle["vin"], *(UNKNOWN if v is None else str(v) for v in values))
    console.print(table)


def _line(console: Output, line: str) -> None:
    console.print(line, soft_wrap=True)
