"""CSV files, read line by line: each is what was asked for, or is refused with its reasons."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, BinaryIO, TextIO

from marshmallow import Schema, ValidationError

DELIMITERS = ",;\t"
LONGEST_HEADER = 10_000

# What a spreadsheet takes for the beginning of a formula, be it of ordinary or of full width: in
# front of a cell, and behind whatever it may take for the end of one (OWASP, "CSV Injection"). An
# apostrophe in front makes it text. Spaces are looked through once, where they begin: from each of
# them to their end would take minutes for a cell of tabs.
_BEFORE = r"""((?:^|[,;|"]|(?<!\s)[^\S\t\r\n]*[\t\r\n])\s*)"""
_SIGN = r"[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]"
_BARE = re.compile(f"{_BEFORE}('*{_SIGN})")
_DEFUSED = re.compile(f"{_BEFORE}'('*{_SIGN})")


class NotReadable(Exception):
    """The file cannot be read as what it should be at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a file: its `values`, or the `reasons` for which it is refused."""

    number: int
    values: Mapping[str, Any]
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Columns:
    """What the first line of a file may name. `left_alone` is there for information."""

    required: Sequence[str]
    optional: Sequence[str] = ()
    left_alone: Sequence[str] = ()

    @property
    def read(self) -> Sequence[str]:
        return (*self.required, *self.optional)

    def check(self, header: Sequence[str]) -> Sequence[str]:
        """The names of the columns in their order. Raises `NotReadable`."""
        names = [name.strip().lower() for name in header]
        if not names:
            raise NotReadable("The file is empty.")
        unknown = [repr(name) for name in names if name not in (*self.read, *self.left_alone)]
        if unknown:
            raise NotReadable(
                f"Its first line names columns that are not known: {', '.join(unknown)}."
                f" It may name {', '.join(self.read)}."
            )
        missing = [name for name in self.required if name not in names]
        if missing:
            raise NotReadable(f"Its first line must name the columns: {', '.join(missing)}.")
        if len(set(names)) < len(names):
            raise NotReadable("Its first line names a column twice.")
        return names


Load = Callable[[Mapping[str, str]], Mapping[str, Any]]


def defused(cell: str) -> str:
    """`cell` as a spreadsheet will not compute it."""
    return _BARE.sub(r"\1'\2", cell)


def restored(cell: str) -> str:
    """What `defused` was given."""
    return _DEFUSED.sub(r"\1\2", cell)


def read(file: TextIO, columns: Columns, load: Load) -> Iterator[Line]:
    """The lines of a CSV file with a header line. Raises `NotReadable`.

    `file` comes from `text_of`. `load` is given the cells of a line by their column, and answers
    its values or raises `ValidationError`; optional cells that are blank are left out.
    """
    header = file.readline(LONGEST_HEADER)
    delimiter = max(DELIMITERS, key=header.count)
    names = columns.check(next(csv.reader([header], delimiter=delimiter), []))
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    number = 2
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, {}, [f"It is not CSV: {error}."])
        else:
            if cells:
                yield _line(number, columns, names, cells, load)
        number = reader.line_num + 2


def loading(schema: Schema) -> Load:
    """Loads lines as bodies of requests with this schema are loaded."""

    def load(cells: Mapping[str, str]) -> Mapping[str, Any]:
        values: Mapping[str, Any] = schema.load(cells)
        return values

    return load


def text_of(file: BinaryIO) -> TextIO:
    """A file for `read`: what is no UTF-8 is refused there, line by line."""
    return TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _line(
    number: int, columns: Columns, names: Sequence[str], cells: Sequence[str], load: Load
) -> Line:
    if len(cells) != len(names):
        return Line(number, {}, [f"It has {len(cells)} cells, and the first line {len(names)}."])
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return Line(number, {}, ["It is not UTF-8."])
    found = {n: restored(cell) for n, cell in zip(names, cells, strict=True) if n in columns.read}
    given = {n: cell for n, cell in found.items() if n in columns.required or cell.strip()}
    try:
        return Line(number, load(given))
    except ValidationError as error:
        told = error.messages_dict.items()
        return Line(number, {}, [f"{name}: {' '.join(texts)}" for name, texts in told])
