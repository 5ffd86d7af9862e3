"""`automart customers`: CSV in and out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from sqlalchemy import func, select

from automart.cli.application import check_schema, opened
from automart.cli.csv_imports import (
    FileArgument,
    Importer,
    KeepGood,
    import_file,
    progress_bar,
)
from automart.core.batches import BATCH_SIZE
from automart.core.db import db
from automart.customers import csv
from automart.customers.models import Customer

customers_app = typer.Typer(help="Customers, as CSV in and out.", no_args_is_help=True)


@customers_app.command("import")
def import_customers(file: FileArgument, keep_good: KeepGood = False) -> None:
    """Add the customers of a CSV file in UTF-8, whose first line names its columns: first_name,
    last_name, and if you like email and phone.

    A line that is refused is told with its number and the reason. Then nothing at all is imported,
    unless you say --keep-good.

    Exit status: 0 all are imported · 1 nothing is · 2 wrong usage · 3 some lines were refused.
    """
    with opened():
        check_schema()
        import_file(file, Importer(csv.read, csv.add), keep_good=keep_good)


@customers_app.command("export")
def export_customers(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="Write here instead of printing."),
    ] = None,
) -> None:
    """Write all customers as CSV. What a spreadsheet would take for a formula gets an apostrophe in
    front, which an import takes away again."""
    with opened():
        check_schema()
        if output is None:
            _export(sys.stdout)
            return
        # With the mark by which spreadsheets know UTF-8.
        with output.open("w", encoding="utf-8-sig", newline="") as file:
            _export(file)


def _export(file: TextIO) -> None:
    console = Console(stderr=True)
    total = db.session.scalar(select(func.count(Customer.id)))
    with progress_bar(console) as progress:
        task = progress.add_task("Exporting", total=total)
        for count in csv.write(file):
            if not count % BATCH_SIZE:
                progress.update(task, completed=count)
        progress.update(task, completed=total)
