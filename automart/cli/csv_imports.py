"""Commands that import a CSV file: all lines or none, or on request only the valid ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import IntegrityError

from automart.cli.errors import FAILED, IN_PART
from automart.core.batches import BATCH_SIZE, batched
from automart.core.csv_import import Line, NotReadable, text_of
from automart.core.db import transaction
from automart.core.interrupts import interrupts_raised

FileArgument = Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False)]
KeepGood = Annotated[
    bool, typer.Option("--keep-good", help="Import the valid lines even if others are refused.")
]


@dataclass(frozen=True, slots=True)
class Importer:
    """How to import a kind of file: `read` yields checked lines, `add` stores valid ones in the
    current transaction and returns their number. In between, values may be converted to JSON, those
    of other types to text.
    """

    read: Callable[[TextIO], Iterator[Line]]
    add: Callable[[Sequence[Line]], int]


def import_file(path: Path, importer: Importer, *, keep_good: bool) -> None:
    """Import a file in an application context and print the result. Exit if lines were refused."""
    reader = _Reader(path, importer.read, Console(stderr=True))
    try:
        added = _good_lines(reader, importer) if keep_good else _all_or_nothing(reader, importer)
    except NotReadable as error:
        typer.echo(f"Nothing was imported. {error}", err=True)
        raise typer.Exit(FAILED) from None
    typer.echo(f"{added:,} imported, {reader.refused:,} refused.")
    if reader.refused:
        raise typer.Exit(IN_PART)


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
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


class _Reader:
    """Reads a file with a progress bar. Yields the valid lines and prints the others."""

    def __init__(
        self, path: Path, read: Callable[[TextIO], Iterator[Line]], console: Console
    ) -> None:
        self._path = path
        self._read = read
        self.console = console
        self.good = self.refused = 0

    def lines(self, doing: str) -> Iterator[Line]:
        """Yield the valid lines. Then `good` is their number, and `refused` that of the others."""
        self.good = self.refused = 0
        size = self._path.stat().st_size
        with (
            self._path.open("rb") as file,
            text_of(file) as text,
            progress_bar(self.console) as progress,
        ):
            task = progress.add_task(doing, total=size)
            for line in self._read(text):
                if line.reasons:
                    self._print_refusal(line)
                else:
                    self.good += 1
                    yield line
                progress.update(task, completed=file.tell())  # codespell:ignore
            progress.update(task, completed=size)

    def _print_refusal(self, line: Line) -> None:
        self.refused += 1
        text = f"line {line.number}: {'; '.join(line.reasons)}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _all_or_nothing(reader: _Reader, importer: Importer) -> int:
    """Check all lines before the first is stored, so that no other writer waits for the check."""
    try:
        return _checked_and_added(reader, importer)
    except IntegrityError:
        # Lines conflict with rows that were stored after the check. A second check reports them.
        return _checked_and_added(reader, importer)


def _checked_and_added(reader: _Reader, importer: Importer) -> int:
    with TemporaryFile("w+", encoding="utf-8") as checked:
        for line in reader.lines("Checking"):
            checked.write(json.dumps([line.number, line.values], default=str) + "\n")
        if reader.refused:
            raise NotReadable(f"{reader.good:,} lines are good, {reader.refused:,} are refused.")
        checked.seek(0)
        lines = (Line(*json.loads(text)) for text in checked)
        with transaction(), progress_bar(reader.console) as progress:
            parts = progress.track(
                batched(lines), reader.good / BATCH_SIZE, description="Importing"
            )
            return sum(map(importer.add, parts))


def _good_lines(reader: _Reader, importer: Importer) -> int:
    added = 0
    for part in batched(reader.lines("Importing")):
        with transaction():
            added += importer.add(part)
    return added
