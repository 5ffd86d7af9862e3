"""The text of CSV files: its encoding, and its lines and records."""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from typing import TextIO

UTF_8 = "utf-8"
WINDOWS_1252 = "windows-1252"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like the next one
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
# Python's codecs that are not encodings of files, although they decode plain ASCII.
_NO_ENCODINGS = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7")
_ASCII = b'a,"b";\t1\r\n'

UNDECODABLE = "\udcff"
"""Stands for bytes that are not in the encoding of the file. No encoding produces it."""
_REPLACE = "automart.core.csv_text"

# The default limit makes csv.reader stop in the middle of a record. Fields limit lengths.
csv.field_size_limit(2**31 - 1)
codecs.register_error(_REPLACE, lambda error: (UNDECODABLE, getattr(error, "end", 0)))


@dataclass(frozen=True, slots=True)
class RawRecord:
    """The cells of one record, or None if its quotation marks are wrong; and its lines, from 1."""

    first_line: int
    last_line: int
    cells: Sequence[str] | None


def is_encoding(name: str) -> bool:
    """Return whether `name` is an encoding in which files can be imported."""
    try:
        codec = codecs.lookup(name)
        if codec.name.replace("_", "-") in _NO_ENCODINGS:
            return False
        return codec.name in _WIDE or _ASCII.decode(name) == _ASCII.decode("ascii")
    except (LookupError, ValueError):  # unknown, or no encoding of text
        return False


def text_of(file: BufferedReader, encoding: str = UTF_8) -> TextIO:
    """Return the text of a file. A byte order mark takes precedence over `encoding`."""
    start = file.peek(4)
    found = next((codec for mark, codec in _MARKS if start.startswith(mark)), encoding)
    return TextIOWrapper(file, encoding=found, errors=_REPLACE, newline="")


class RecordReader:
    """Splits text into records, and never skips a line.

    If a quotation mark is not closed, or is followed by something else than a delimiter, its record
    has no end. Then the first line is a record without cells, and reading continues at the next.
    """

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._ahead: deque[str] = deque()
        self._line = 0
        self._taken: list[str] = []
        # A quoted cell that reaches one of the lines up to this one has no end. To remember it
        # makes the time linear: otherwise every such cell could be searched up to the last line.
        self._no_end_until = 0

    def records(self, delimiter: str) -> Iterator[RawRecord]:
        """Yield the records from here on."""
        self._no_end_until = 0  # depends on the delimiter
        reader = csv.reader(self, delimiter=delimiter, strict=True)
        while True:
            self._taken.clear()
            first = self._line + 1
            try:
                cells: Sequence[str] | None = next(reader)
            except StopIteration:
                return
            except csv.Error:
                cells = None
                self._no_end_until = max(self._no_end_until, self._line)
                self._return_lines(self._taken[1:])
            yield RawRecord(first, self._line, cells)

    def peek(self) -> str:
        """Return the next line without reading it, or an empty text at the end."""
        line = self._read()
        if line:
            self._return_lines([line])
        return line

    def skip(self) -> None:
        """Skip the next line."""
        self._read()

    def first_record(self, delimiter: str) -> RawRecord | None:
        """Return the next record without reading it; None if there is none."""
        record = next(self.records(delimiter), None)
        if record is not None:
            self._return_lines(self._taken[: record.last_line - record.first_line + 1])
        return record

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Return the next line to `csv.reader`."""
        if self._taken and self._line < self._no_end_until:
            raise StopIteration
        line = self._read()
        if not line:
            raise StopIteration
        self._taken.append(line)
        return line

    def _read(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._text.readline()
        self._line += bool(line)
        return line

    def _return_lines(self, lines: Sequence[str]) -> None:
        self._ahead.extendleft(reversed(lines))
        self._line -= len(lines)


def has_content(cells: Iterable[str]) -> bool:
    """Return whether any of the cells is not blank."""
    return any(cell and not cell.isspace() for cell in cells)
