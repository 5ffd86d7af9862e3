"""`automart cars`: import as CSV."""

from __future__ import annotations

import typer

from automart.cli.application import check_schema, opened
from automart.cli.csv_imports import (
    DEFAULT_ENCODING,
    Encoding,
    FileArgument,
    IgnoreOthers,
    KeepGood,
    Mapped,
    import_file,
    reading_of,
)
from automart.inventory.csv import CARS

cars_app = typer.Typer(help="Import cars as CSV.", no_args_is_help=True)


@cars_app.callback()
def cars() -> None:
    """Import cars as CSV."""


@cars_app.command("import")
def import_cars(
    file: FileArgument,
    keep_good: KeepGood = False,
    encoding: Encoding = DEFAULT_ENCODING,
    mapped: Mapped = None,
    ignore_others: IgnoreOthers = False,
) -> None:
    """Import the cars of a CSV file. Its headings name the columns: brand, model, year, color,
    daily_price, vin, dealer_id, and optionally status.

    Cells are separated by commas, semicolons or tabs. Prices have a decimal point, or a comma where
    the comma does not separate cells. A file is UTF-8, or UTF-16 with a byte order mark, unless
    --encoding is given.

    Refused records are printed with their lines and reasons. If there are any, nothing is imported,
    unless --keep-good is given.

    Exit status: 0 all imported · 1 nothing imported · 2 wrong usage · 3 some were refused.
    """
    reading = reading_of(
        CARS.columns, encoding=encoding, mapped=mapped, ignore_others=ignore_others
    )
    with opened():
        check_schema()
        import_file(file, CARS, reading, keep_good=keep_good)
