"""Commands that import a CSV file: all records or none, or on request only the valid ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from automart.cli.console import Output
from automart.cli.errors import FAILED, IN_PART
from automart.core.batches import BATCH_SIZE
from automart.core.csv_columns import Columns, NotReadable, Reading, UnknownHeadings, quoted
from automart.core.csv_import import Importer, Outcome, Record, Values, import_records
from automart.core.csv_text import UTF_8, is_encoding, text_of
from automart.core.errors import Conflict
from automart.core.interrupts import interrupts_raised

FileArgument = Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False)]
DEFAULT_ENCODING = UTF_8
KeepGood = Annotated[
    bool, typer.Option("--keep-good", help="Import the valid records even if others are refused.")
]
Encoding = Annotated[
    str,
    typer.Option(
        "--encoding",
        help="The encoding of a file without a byte order mark, such as windows-1252.",
    ),
]
Mapped = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="HEADING=COLUMN", help="Read a column under another heading. Repeatable."
    ),
]
IgnoreOthers = Annotated[
    bool, typer.Option("--ignore-others", help="Leave out columns whose headings are unknown.")
]


def reading_of(
    columns: Columns, *, encoding: str, mapped: Sequence[str] | None, ignore_others: bool
) -> Reading:
    """Return how options say that a file is read. Raises `typer.BadParameter`."""
    if not is_encoding(encoding):
        raise typer.BadParameter(f"There is no encoding {encoding!r}.", param_hint="--encoding")
    columns_by_heading: dict[str, str] = {}
    for text in mapped or ():
        heading, _, column = (part.strip() for part in text.rpartition("="))
        if not heading or column not in columns.read:
            raise typer.BadParameter(
                f"{text!r} must be HEADING=COLUMN, with one of {', '.join(columns.read)}.",
                param_hint="--map",
            )
        columns_by_heading[heading] = column
    return Reading(encoding, columns_by_heading, ignore_others, "--encoding")


def import_file(path: Path, importer: Importer, reading: Reading, *, keep_good: bool) -> None:
    """Import a file in an application context and print the result. Exit if records were refused.

    Refused records are printed with their lines and reasons.
    """
    console = Output(stderr=True)

    def add(parts: Iterator[Sequence[Values]], outcome: Outcome) -> None:
        with progress_bar(console) as progress:
            total = outcome.good / BATCH_SIZE
            for part in progress.track(parts, total, description="Importing"):
                importer.add(part, None)

    try:
        with _source(path) as open_file:
            reader = _Reader(open_file, importer, reading, console)
            outcome = import_records(reader.records, add, keep_good=keep_good)
    except (NotReadable, Conflict) as error:
        hint = " Use --map or --ignore-others." if isinstance(error, UnknownHeadings) else ""
        typer.echo(f"Nothing was imported. {error}{hint}", err=True)
        raise typer.Exit(FAILED) from None
    if outcome.refused_count and not keep_good:
        typer.echo(outcome.why_nothing_was_imported(), err=True)
        raise typer.Exit(FAILED)
    typer.echo(f"{outcome.good:,} imported, {outcome.refused_count:,} refused.")
    if outcome.refused_count:
        raise typer.Exit(IN_PART)


@contextmanager
def progress_bar(console: Output) -> Iterator[Progress]:
    """Yield a progress bar, which is shown only on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    with interrupts_raised(), bar as progress:
        yield progress


@contextmanager
def _source(path: Path) -> Iterator[Callable[[], BufferedReader]]:
    """Yield a function that opens a file at its beginning, one reader at a time.

    A pipe can be read only once, so it is copied. The path is opened only once: on macOS,
    /dev/stdin stays where the reader before left it.
    """
    with ExitStack() as opened:
        file: IO[bytes] = opened.enter_context(path.open("rb"))
        if not file.seekable():
            copy = opened.enter_context(TemporaryFile())
            shutil.copyfileobj(file, copy)
            file = copy

        def open_again() -> BufferedReader:
            file.seek(0)
            return os.fdopen(os.dup(file.fileno()), "rb")

        yield open_again


class _Reader:
    """Reads a file, possibly several times, with a progress bar. Prints refused records once."""

    def __init__(
        self,
        open_file: Callable[[], BufferedReader],
        importer: Importer,
        reading: Reading,
        console: Output,
    ) -> None:
        self._open = open_file
        self._importer = importer
        self._reading = reading
        self._console = console
        self._printed: set[str] = set()

    def records(self) -> Iterator[Record]:
        with (
            self._open() as file,
            text_of(file, self._reading.encoding) as text,
            progress_bar(self._console) as progress,
        ):
            size = os.fstat(file.fileno()).st_size
            task = progress.add_task("Checking", total=size)
            header, records = self._importer.read(text, self._reading)
            if header.ignored:
                self._print(f"Ignored columns: {quoted(header.ignored)}.")
            for record in records:
                if record.reasons:
                    self._print(f"{_lines(record)}: {'; '.join(record.reasons)}")
                yield record
                progress.update(task, completed=file.tell())  # codespell:ignore
            progress.update(task, completed=size)

    def _print(self, text: str) -> None:
        if text not in self._printed:
            self._printed.add(text)
            self._console.print(text, soft_wrap=True)


def _lines(record: Record) -> str:
    if record.first_line == record.last_line:
        return f"line {record.first_line}"
    return f"lines {record.first_line}-{record.last_line}"
