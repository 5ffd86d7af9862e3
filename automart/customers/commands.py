"""`automart customers`: CSV in and out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer
from flask import current_app
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from sqlalchemy import func, select

from automart.accounts.commands import app_context
from automart.customers import csv_files
from automart.customers.csv_files import Line, NotCustomers
from automart.customers.models import Customer
from automart.db import db, transaction

FAILED = 1
IN_PART = 3

customers_app = typer.Typer(help="Customers, as CSV in and out.", no_args_is_help=True)


@customers_app.command("import")
def import_customers(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False)],
    keep_good: Annotated[
        bool, typer.Option("--keep-good", help="Import the good lines even if some are refused.")
    ] = False,
) -> None:
    """Add the customers of a CSV file in UTF-8, whose first line names its columns: first_name,
    last_name, and if you like email and phone.

    A line that is refused is told with its number and the reason. Then nothing at all is imported,
    unless you say --keep-good.

    Exit status: 0 all are imported · 1 nothing is · 2 wrong usage · 3 some lines were refused.
    """
    reader = _Reader(file, Console(stderr=True))
    with _opened():
        try:
            added = _good_lines(reader) if keep_good else _all_or_nothing(reader)
        except NotCustomers as error:
            typer.echo(f"Nothing was imported. {error}", err=True)
            raise typer.Exit(FAILED) from None
    typer.echo(f"{added:,} imported, {reader.refused:,} refused.")
    if reader.refused:
        raise typer.Exit(IN_PART)


@customers_app.command("export")
def export_customers(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="Write here instead of printing."),
    ] = None,
) -> None:
    """Write all customers as CSV. What a spreadsheet would take for a formula gets an apostrophe in
    front, which an import takes away again."""
    with _opened():
        if output is None:
            _export(sys.stdout)
            return
        # With the mark by which spreadsheets know UTF-8.
        with output.open("w", encoding="utf-8-sig", newline="") as file:
            _export(file)


class _Reader:
    """Reads the good lines of a file, with a progress bar, and tells of the others."""

    def __init__(self, path: Path, console: Console) -> None:
        self._path = path
        self._console = console
        self.refused = 0

    def lines(self, doing: str) -> Iterator[Line]:
        """The good lines. Afterwards `refused` is the number of the others."""
        self.refused = 0
        size = self._path.stat().st_size
        with (
            self._path.open("rb") as file,
            csv_files.text_of(file) as text,
            _progress(self._console) as progress,
        ):
            task = progress.add_task(doing, total=size)
            for line in csv_files.read(text):
                if line.reasons:
                    self._tell(line)
                else:
                    yield line
                progress.update(task, completed=file.tell())
            progress.update(task, completed=size)

    def _tell(self, line: Line) -> None:
        self.refused += 1
        told = f"line {line.number}: {'; '.join(line.reasons)}"
        self._console.print(told, markup=False, highlight=False, soft_wrap=True)


def _all_or_nothing(reader: _Reader) -> int:
    """Check all lines before the first is written, so that no other writer waits for the check."""
    good = sum(1 for _ in reader.lines("Checking"))
    if reader.refused:
        raise NotCustomers(f"{good:,} lines are good, {reader.refused:,} are refused.")
    with transaction():
        added = sum(csv_files.add(part) for part in csv_files.in_parts(reader.lines("Importing")))
        if reader.refused or added != good:
            raise NotCustomers("The file has changed since it was checked.")
    return added


def _good_lines(reader: _Reader) -> int:
    added = 0
    for part in csv_files.in_parts(reader.lines("Importing")):
        with transaction():
            added += csv_files.add(part)
    return added


def _export(file: TextIO) -> None:
    console = Console(stderr=True)
    total = db.session.scalar(select(func.count(Customer.id)))
    with _progress(console) as progress:
        task = progress.add_task("Exporting", total=total)
        for count in csv_files.write(file):
            if not count % csv_files.PART:
                progress.update(task, completed=count)
        progress.update(task, completed=total)


@contextmanager
def _opened() -> Iterator[None]:
    """An application context whose connections are given back."""
    with app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()
            current_app.extensions["redis"].close()


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """A progress bar on a terminal; nothing elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress
