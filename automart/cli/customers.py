"""`automart customers`: import and export as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TextIO

import typer
from sqlalchemy import func, select

from automart.cli.application import check_schema, opened
from automart.cli.console import Output
from automart.cli.csv_imports import (
    DEFAULT_ENCODING,
    Encoding,
    FileArgument,
    IgnoreOthers,
    KeepGood,
    Mapped,
    import_file,
    progress_bar,
    reading_of,
)
from automart.core.batches import BATCH_SIZE
from automart.core.db import db
from automart.core.standard_streams import utf_8_output
from automart.customers.csv import CUSTOMERS, write_customers
from automart.customers.models import Customer

customers_app = typer.Typer(help="Import and export customers as CSV.", no_args_is_help=True)


@customers_app.command("import")
def import_customers(
    file: FileArgument,
    keep_good: KeepGood = False,
    encoding: Encoding = DEFAULT_ENCODING,
    mapped: Mapped = None,
    ignore_others: IgnoreOthers = False,
) -> None:
    """Import the customers of a CSV file. Its headings name the columns: first_name, last_name, and
    optionally email and phone. Those of Google Contacts and Outlook in English are known too.

    Cells are separated by commas, semicolons or tabs. A file is UTF-8, or UTF-16 with a byte order
    mark, unless --encoding is given.

    Refused records are printed with their lines and reasons. If there are any, nothing is imported,
    unless --keep-good is given.

    Exit status: 0 all imported · 1 nothing imported · 2 wrong usage · 3 some were refused.
    """
    reading = reading_of(
        CUSTOMERS.columns, encoding=encoding, mapped=mapped, ignore_others=ignore_others
    )
    with opened():
        check_schema()
        import_file(file, CUSTOMERS, reading, keep_good=keep_good)


@customers_app.command("export")
def export_customers(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", dir_okay=False, help="Write to this file instead of standard output."
        ),
    ] = None,
) -> None:
    """Export all customers as CSV. Cells that a spreadsheet would take for formulas begin with an
    apostrophe. An import removes it."""
    with opened():
        check_schema()
        if output is None:
            _export(utf_8_output())
            return
        # With a byte order mark, by which spreadsheets recognize UTF-8.
        with output.open("w", encoding="utf-8-sig", newline="") as file:
            _export(file)


def _export(file: TextIO) -> None:
    console = Output(stderr=True)
    total = db.session.scalar(select(func.count(Customer.id)))
    with progress_bar(console) as progress:
        task = progress.add_task("Exporting", total=total)
        for count in write_customers(file):
            if not count % BATCH_SIZE:
                progress.update(task, completed=count)
        progress.update(task, completed=total)
