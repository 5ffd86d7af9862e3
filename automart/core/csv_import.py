"""Import of CSV files: each record has values, or the reasons why it is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import Any, TextIO

from marshmallow import ValidationError
from marshmallow.exceptions import SCHEMA
from sqlalchemy.exc import IntegrityError

from automart.core.batches import batched
from automart.core.csv_columns import Columns, Header, Reading, not_decodable, read_header
from automart.core.csv_text import UNDECODABLE, RecordReader, has_content
from automart.core.db import db, transaction
from automart.core.errors import Conflict
from automart.core.text import trim

MAX_REPORTED = 1_000
ATTEMPTS = 3
# Enough for uploads: their workers may have no writable folder.
MAX_IN_MEMORY = 50_000_000
LONGEST_REASON = 200
BAD_QUOTES = "It has a quotation mark that is not closed, or not at the end of its cell."
_DECIMAL_COMMA = re.compile(r"\s*\d+,\d+\s*", re.ASCII)

# The characters that start a formula in a spreadsheet, also in full width: at the start of a cell,
# and after any character that a spreadsheet may read as the end of one (OWASP, "CSV Injection").
# With an apostrophe before it, the cell is text. A run of spaces is matched from its start only:
# matching it from every space would take minutes for a cell of tabs.
_CELL_START = r"""((?:^|[,;|"]|(?<!\s)[^\S\t\r\n]*[\t\r\n])\s*)"""
_SIGN = r"[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]"
_UNESCAPED = re.compile(f"{_CELL_START}('*{_SIGN})")
_ESCAPED = re.compile(f"{_CELL_START}'('*{_SIGN})")

Values = Mapping[str, Any]
Load = Callable[[Mapping[str, str]], Values]
"""Returns the values of a record from its cells by column, or raises `ValidationError`."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a file and its lines: its `values`, or the `reasons` why it is refused."""

    first_line: int
    last_line: int
    values: Values
    reasons: Sequence[str] = ()

    def as_refusal(self) -> dict[str, Any]:
        """Return the refusal as the result of a job shows it."""
        return {"lines": [self.first_line, self.last_line], "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class Importer:
    """How to import a kind of file. `new_load` returns the `Load` of one file.

    `add` stores values in the current transaction, and the id of the user who created them. Before
    that, values may be converted to JSON, those of other types to text.
    """

    columns: Columns
    new_load: Callable[[], Load]
    add: Callable[[Sequence[Values], int | None], None]

    def read(self, text: TextIO, reading: Reading) -> tuple[Header, Iterator[Record]]:
        """Return what the headings of `text_of` a file say, and its records.

        Raises `NotReadable`.
        """
        reader = RecordReader(text)
        header = read_header(reader, self.columns, reading)
        return header, self._records(reader, header, reading)

    def _records(self, reader: RecordReader, header: Header, reading: Reading) -> Iterator[Record]:
        load = self.new_load()
        for raw in reader.records(header.delimiter):
            lines = (raw.first_line, raw.last_line)
            if raw.cells is None:
                yield Record(*lines, {}, [BAD_QUOTES])
            elif has_content(raw.cells):
                try:
                    cells = _cells_by_column(raw.cells, header, self.columns, reading)
                    yield Record(*lines, load(cells))
                except ValidationError as error:
                    yield Record(*lines, {}, _reasons(error))


@dataclass
class Outcome:
    """What became of the records of a file."""

    good: int = 0
    refused_count: int = 0
    refused: list[Record] = field(default_factory=list)
    """The first records that were refused."""

    @property
    def total(self) -> int:
        return self.good + self.refused_count

    def why_nothing_was_imported(self) -> str:
        return f"Nothing was imported: {self.refused_count:,} of {self.total:,} records are wrong."

    def refuse(self, record: Record) -> None:
        self.refused_count += 1
        if len(self.refused) < MAX_REPORTED:
            self.refused.append(record)


def import_records(
    read: Callable[[], Iterator[Record]],
    add: Callable[[Iterator[Sequence[Values]], Outcome], None],
    *,
    keep_good: bool,
) -> Outcome:
    """Check all records, then call `add` with the good ones in one transaction.

    Without `keep_good`, nothing is added if a record is refused. Records are checked before the
    transaction, so that no other writer waits for the check. If one conflicts with rows that were
    stored in between, all are checked again. Raises `Conflict` if that happens repeatedly.
    """
    for _ in range(ATTEMPTS):
        with SpooledTemporaryFile(MAX_IN_MEMORY, "w+", encoding="utf-8") as checked:
            outcome = _check(read(), checked)
            if outcome.refused_count and not keep_good:
                return outcome
            checked.seek(0)
            try:
                with transaction():
                    add(batched(map(json.loads, checked)), outcome)
            except IntegrityError:
                db.session.rollback()
            else:
                return outcome
    raise Conflict("Others are changing the same data. Nothing was imported.")


def escape_formula(cell: str) -> str:
    """Return `cell` such that a spreadsheet does not evaluate it as a formula."""
    return _UNESCAPED.sub(r"\1'\2", cell)


def unescape_formula(cell: str) -> str:
    """Return the cell from which `escape_formula` made `cell`."""
    return _ESCAPED.sub(r"\1\2", cell)


def _check(records: Iterator[Record], checked: SpooledTemporaryFile[str]) -> Outcome:
    """Write the values of good records to `checked`, one in each line."""
    outcome = Outcome()
    for record in records:
        if record.reasons:
            outcome.refuse(record)
        else:
            outcome.good += 1
            checked.write(json.dumps(record.values, default=str) + "\n")
    return outcome


def _cells_by_column(
    cells: Sequence[str], header: Header, columns: Columns, reading: Reading
) -> Mapping[str, str]:
    """Return the cells that are read; blank optional ones are left out.

    Absent cells at the end are blank. Raises `ValidationError` for cells without a column.
    """
    if any(UNDECODABLE in cell for cell in cells):
        raise _refusal(not_decodable(reading))
    width = len(header.columns)
    named = [cell for cell, name in zip(cells, header.names, strict=False) if not name]
    if has_content(cells[width:]):
        raise _refusal(f"It has {len(cells)} cells, but there are {width} headings.")
    if has_content(named) and not reading.ignore_others:
        raise _refusal("It has a cell in a column without a heading.")
    padded = [*cells, *[""] * (width - len(cells))]
    found = {
        column: unescape_formula(cell)
        for column, cell in zip(header.columns, padded, strict=False)
        if column
    }
    if header.delimiter != ",":
        for column in columns.decimals:
            if _DECIMAL_COMMA.fullmatch(found.get(column, "")):
                found[column] = found[column].replace(",", ".")
    return {n: cell for n, cell in found.items() if n in columns.required or trim(cell)}


def _refusal(reason: str) -> ValidationError:
    return ValidationError({SCHEMA: [reason]})


def _reasons(error: ValidationError) -> Sequence[str]:
    texts = [
        " ".join(found) if name == SCHEMA else f"{name}: {' '.join(found)}"
        for name, found in error.messages_dict.items()
    ]
    return [text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…" for text in texts]
