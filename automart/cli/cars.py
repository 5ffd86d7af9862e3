"""`automart cars`: import as CSV."""

from __future__ import annotations

import typer

from automart.cli.application import check_schema, opened
from automart.cli.csv_imports import FileArgument, Importer, KeepGood, import_file
from automart.inventory.csv import add_cars, read_cars

cars_app = typer.Typer(help="Import cars as CSV.", no_args_is_help=True)


@cars_app.callback()
def cars() -> None:
    """Import cars as CSV."""


@cars_app.command("import")
def import_cars(file: FileArgument, keep_good: KeepGood = False) -> None:
    """Import the cars of a CSV file in UTF-8. Its first line names the columns: brand, model, year,
    color, daily_price, vin, dealer_id, and optionally status.

    Refused lines are printed with their numbers and reasons. If there are any, nothing is imported,
    unless --keep-good is given.

    Exit status: 0 all imported · 1 nothing imported · 2 wrong usage · 3 some lines were refused.
    """
    with opened():
        check_schema()
        import_file(file, Importer(read_cars, add_cars), keep_good=keep_good)
