"""CSV files, read line by line. Each line has values, or the reasons why it is rejected."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, BinaryIO, TextIO

from marshmallow import ValidationError

DELIMITERS = ",;\t"
LONGEST_HEADER = 10_000

# The characters that start a formula in a spreadsheet, also in full width: at the start of a cell,
# and after any character that a spreadsheet may read as the end of one (OWASP, "CSV Injection").
# With an apostrophe before it, the cell is text. A run of spaces is matched from its start only:
# matching it from every space would take minutes for a cell of tabs.
_CELL_START = r"""((?:^|[,;|"]|(?<!\s)[^\S\t\r\n]*[\t\r\n])\s*)"""
_SIGN = r"[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]"
_UNESCAPED = re.compile(f"{_CELL_START}('*{_SIGN})")
_ESCAPED = re.compile(f"{_CELL_START}'('*{_SIGN})")


class NotReadable(Exception):
    """The file as a whole cannot be read. The message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a file: its `values`, or the `reasons` why it is rejected."""

    number: int
    values: Mapping[str, Any]
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that the first line of a file may name. Those in `ignored` are not read."""

    required: Sequence[str]
    optional: Sequence[str] = ()
    ignored: Sequence[str] = ()

    @property
    def read(self) -> Sequence[str]:
        return (*self.required, *self.optional)

    def check(self, header: Sequence[str]) -> Sequence[str]:
        """Return the names of the columns in their order. Raises `NotReadable`."""
        names = [name.strip().lower() for name in header]
        if not names:
            raise NotReadable("The file is empty.")
        unknown = [repr(name) for name in names if name not in (*self.read, *self.ignored)]
        if unknown:
            raise NotReadable(
                f"Its first line names unknown columns: {', '.join(unknown)}."
                f" It may name {', '.join(self.read)}."
            )
        missing = [name for name in self.required if name not in names]
        if missing:
            raise NotReadable(f"Its first line must name the columns: {', '.join(missing)}.")
        if len(set(names)) < len(names):
            raise NotReadable("Its first line names a column twice.")
        return names


Load = Callable[[Mapping[str, str]], Mapping[str, Any]]


def escape_formula(cell: str) -> str:
    """Return `cell` such that a spreadsheet does not evaluate it as a formula."""
    return _UNESCAPED.sub(r"\1'\2", cell)


def unescape_formula(cell: str) -> str:
    """Return the cell from which `escape_formula` made `cell`."""
    return _ESCAPED.sub(r"\1\2", cell)


def read_lines(file: TextIO, columns: Columns, load: Load) -> Iterator[Line]:
    """Yield the lines of a CSV file with a header line. Raises `NotReadable`.

    `file` comes from `text_of`. `load` takes the cells of a line by column. It returns the values
    or raises `ValidationError`. Blank optional cells are left out.
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
            yield Line(number, {}, [f"This is not CSV: {error}."])
        else:
            if cells:
                yield _read_line(number, columns, names, cells, load)
        number = reader.line_num + 2


def text_of(file: BinaryIO) -> TextIO:
    """Return a file for `read_lines`, which rejects lines that are not UTF-8."""
    return TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _read_line(
    number: int, columns: Columns, names: Sequence[str], cells: Sequence[str], load: Load
) -> Line:
    if len(cells) != len(names):
        return Line(
            number, {}, [f"It has {len(cells)} cells, but the first line has {len(names)}."]
        )
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return Line(number, {}, ["This is not UTF-8."])
    found = {
        n: unescape_formula(cell) for n, cell in zip(names, cells, strict=True) if n in columns.read
    }
    given = {n: cell for n, cell in found.items() if n in columns.required or cell.strip()}
    try:
        return Line(number, load(given))
    except ValidationError as error:
        reasons = [f"{name}: {' '.join(texts)}" for name, texts in error.messages_dict.items()]
        return Line(number, {}, reasons)
