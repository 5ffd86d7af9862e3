"""The headings of CSV files, and the columns that they name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from automart.core.csv_text import UNDECODABLE, UTF_8, WINDOWS_1252, RecordReader, has_content

DELIMITERS = ",;\t"
LONGEST_HEADINGS = 100_000
SHOWN_NAMES = 100  # an export of Outlook has about 90 columns
SHOWN_CHARACTERS = 40
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\s\w]|\t)"?\s*', re.IGNORECASE)
_WORKBOOK = "PK\x03\x04"


class NotReadable(Exception):
    """The file as a whole cannot be read. The message says why."""


class UnknownHeadings(NotReadable):
    """The headings name columns that are not known."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a kind of file. Those in `ignored` are known and not read.

    `headings` are other names of columns, as `heading_key` returns them. In `decimals` are columns
    of numbers, which may have a decimal comma where the comma is not the delimiter.
    """

    required: Sequence[str]
    optional: Sequence[str] = ()
    ignored: Sequence[str] = ()
    headings: Mapping[str, str] = field(default_factory=dict)
    decimals: Sequence[str] = ()

    @property
    def read(self) -> Sequence[str]:
        return (*self.required, *self.optional)

    def named_by(self, heading: str) -> str | None:
        """Return the column that a heading names, None if it is unknown."""
        key = heading_key(heading)
        return key if key in (*self.read, *self.ignored) else self.headings.get(key)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read. `mapped` has columns by heading, before those that are known.

    `encoding_option` is how messages name the way to choose an encoding.
    """

    encoding: str = UTF_8
    mapped: Mapping[str, str] = field(default_factory=dict)
    ignore_others: bool = False
    encoding_option: str = "the encoding"


@dataclass(frozen=True, slots=True)
class Header:
    """What the headings of a file say: the column at each place, None where it is not read."""

    delimiter: str
    columns: Sequence[str | None]
    names: Sequence[str]
    ignored: Sequence[str]
    """The headings of other columns, which are left out."""


def heading_key(heading: str) -> str:
    """Return the form in which headings are compared: `E-mail 1 - Value` is `e_mail_1_value`."""
    return re.sub(r"[\W_]+", "_", heading.casefold()).strip("_")


def read_header(reader: RecordReader, columns: Columns, reading: Reading) -> Header:
    """Read the headings, and the blank lines and the `sep=` line before them.

    Raises `NotReadable`.
    """
    delimiter = _skip_to_headings(reader)
    mapped = {heading_key(heading): column for heading, column in reading.mapped.items()}
    found = [
        (each, cells)
        for each in delimiter or DELIMITERS
        if (cells := _cells(reader, each)) is not None
    ]
    if not found:
        raise NotReadable("The quotation marks of its headings are not closed properly.")

    def known(choice: tuple[str, Sequence[str]]) -> tuple[int, int]:
        _, cells = choice
        names = [heading_key(name) in mapped or columns.named_by(name) for name in cells]
        return sum(map(bool, names)), len(cells)

    chosen, cells = max(found, key=known)
    next(reader.records(chosen))
    names = [name.strip() for name in cells]
    assigned = _assign(names, columns, mapped)
    _check(names, assigned, columns, reading)
    others = [name for name, column in zip(names, assigned, strict=True) if name and column is None]
    columns_read = [column if column in columns.read else None for column in assigned]
    return Header(chosen, columns_read, names, others)


def quoted(names: Sequence[str]) -> str:
    """Return names for a message, which is not longer the more or the longer they are."""
    shown = [repr(_shortened(name)) for name in names[:SHOWN_NAMES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def not_decodable(reading: Reading) -> str:
    """Return the reason why text in another encoding than that of `reading` is refused."""
    if reading.encoding.lower() == UTF_8:
        return (
            "This is not UTF-8. If the file is in Windows-1252, as spreadsheets often write, use"
            f" {reading.encoding_option} {WINDOWS_1252}."
        )
    return f"This is not {reading.encoding}."


def _skip_to_headings(reader: RecordReader) -> str | None:
    """Skip blank lines and a `sep=` line. Return the delimiter that it names."""
    delimiter = None
    while line := reader.peek():
        separator = _SEPARATOR_LINE.fullmatch(line)
        if separator and delimiter is None:
            delimiter = separator[1]
        elif has_content(re.split(rf'[{DELIMITERS}"{re.escape(delimiter or "")}]', line)):
            if len(line) > LONGEST_HEADINGS:
                raise NotReadable("Its headings are too long. This is not CSV.")
            return delimiter
        reader.skip()
    raise NotReadable("The file is empty.")


def _cells(reader: RecordReader, delimiter: str) -> Sequence[str] | None:
    record = reader.first_record(delimiter)
    return record.cells if record else None


def _assign(
    names: Sequence[str], columns: Columns, mapped: Mapping[str, str]
) -> Sequence[str | None]:
    """Return the column of each heading. Those in `mapped` replace the known ones."""
    assigned: list[str | None] = []
    for name in names:
        column = mapped.get(heading_key(name))
        if column is None:
            column = columns.named_by(name)
            column = None if column in mapped.values() else column
        assigned.append(column)
    return assigned


def _check(
    names: Sequence[str], assigned: Sequence[str | None], columns: Columns, reading: Reading
) -> None:
    _check_text("".join(names), reading)
    absent = [
        heading for heading in reading.mapped if heading_key(heading) not in map(heading_key, names)
    ]
    if absent:
        raise NotReadable(f"It has no columns {quoted(absent)}. Its headings are {quoted(names)}.")
    unknown = [name for name, column in zip(names, assigned, strict=True) if name and not column]
    if unknown and not reading.ignore_others:
        raise UnknownHeadings(
            f"Its headings name unknown columns: {quoted(unknown)}."
            f" They may name {', '.join(columns.read)}."
        )
    missing = [name for name in columns.required if name not in assigned]
    if missing:
        raise NotReadable(f"Its headings must name the columns: {', '.join(missing)}.")
    for column in columns.read:
        same = [name for name, each in zip(names, assigned, strict=True) if each == column]
        if len(same) > 1:
            raise NotReadable(f"Its headings name the column {column} twice: {quoted(same)}.")


def _check_text(text: str, reading: Reading) -> None:
    if text.startswith(_WORKBOOK):
        raise NotReadable("This is a workbook, not CSV. Save it as CSV first.")
    if UNDECODABLE in text:
        raise NotReadable(f"Its headings cannot be read. {not_decodable(reading)}")
    if "\0" in text:
        raise NotReadable(
            "It has NUL characters. If it is UTF-16 without a byte order mark, use"
            f" {reading.encoding_option} utf-16-le or utf-16-be."
        )


def _shortened(name: str) -> str:
    return name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}…"
