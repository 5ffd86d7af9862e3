"""`automart cars`: CSV in."""

from __future__ import annotations

import typer

from automart.cli.application import check_schema, opened
from automart.cli.csv_imports import FileArgument, Importer, KeepGood, import_file
from automart.inventory.csv import add_cars, read_cars

cars_app = typer.Typer(help="Cars, as CSV in.", no_args_is_help=True)


@cars_app.callback()
def cars() -> None:
    """Cars, as CSV in."""


@cars_app.command("import")
def import_cars(file: FileArgument, keep_good: KeepGood = False) -> None:
    """Add the cars of a CSV file in UTF-8, whose first line names its columns: brand, model, year,
    color, daily_price, vin, dealer_id, and if you like status.

    A line that is refused is told with its number and the reason. Then nothing at all is imported,
    unless you say --keep-good.

    Exit status: 0 all are imported · 1 nothing is · 2 wrong usage · 3 some lines were refused.
    """
    with opened():
        check_schema()
        import_file(file, Importer(read_cars, add_cars), keep_good=keep_good)
