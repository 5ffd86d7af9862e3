"""Customers as CSV, in and out: streamed, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from typing import Any, BinaryIO, TextIO

import sqlalchemy
from marshmallow import ValidationError
from sqlalchemy import select

from automart.api.fields import rfc3339
from automart.customers.folding import search_text
from automart.customers.models import Customer
from automart.customers.schemas import CustomerSchema
from automart.db import db, utcnow

READ = ("first_name", "last_name", "email", "phone")
TOLD = ("id", "created_at", "updated_at")
"""Columns that are exported for information. An import leaves them alone."""
EXPORTED = ("id", *READ, "created_at", "updated_at")
NULLABLE = ("email", "phone")
DELIMITERS = ",;\t"
PART = 1_000
LONGEST_HEADER = 10_000

# What a spreadsheet takes for the beginning of a formula, be it of ordinary or of full width: in
# front of a cell, and behind whatever it may take for the end of one (OWASP, "CSV Injection"). An
# apostrophe in front makes it text.
_BEFORE = r"""((?:^|[,;|"\t\r\n])\s*)"""
_SIGN = r"[=+\-@\uFF1D\uFF0B\uFF0D\uFF20]"
_BARE = re.compile(f"{_BEFORE}('*{_SIGN})")
_DEFUSED = re.compile(f"{_BEFORE}'('*{_SIGN})")


class NotCustomers(Exception):
    """The file cannot be read as customers at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One customer of a file: `values` for a row, or the `reasons` for which it is refused."""

    number: int
    values: Mapping[str, Any]
    reasons: Sequence[str] = ()


def defused(cell: str) -> str:
    """`cell` as a spreadsheet will not compute it."""
    return _BARE.sub(r"\1'\2", cell)


def restored(cell: str) -> str:
    """What `defused` was given."""
    return _DEFUSED.sub(r"\1\2", cell)


def read(file: TextIO) -> Iterator[Line]:
    """The customers of a CSV file with a header line. Raises `NotCustomers`.

    `file` comes from `text_of`.
    """
    header = file.readline(LONGEST_HEADER)
    delimiter = max(DELIMITERS, key=header.count)
    names = _checked_names(next(csv.reader([header], delimiter=delimiter), []))
    schema = CustomerSchema()
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
                yield _line(schema, number, names, cells)
        number = reader.line_num + 2


def in_parts(lines: Iterable[Line]) -> Iterator[Sequence[Line]]:
    """`lines` in parts that one statement writes."""
    rest = iter(lines)
    while part := list(islice(rest, PART)):
        yield part


def text_of(file: BinaryIO) -> TextIO:
    """A file for `read`: what is no UTF-8 is refused there, line by line."""
    return TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def add(lines: Iterable[Line]) -> int:
    """Add the customers of `lines` in the present transaction. Answers how many."""
    now = utcnow()
    rows = [
        {
            **line.values,
            "search_text": search_text(
                line.values["first_name"], line.values["last_name"], line.values["email"]
            ),
            "created_at": now,
            "updated_at": now,
        }
        for line in lines
    ]
    if rows:
        db.session.execute(sqlalchemy.insert(Customer), rows)
    return len(rows)


def write(file: TextIO) -> Iterator[int]:
    """Write all customers as CSV, as they are at this moment. Counts them as it goes."""
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(EXPORTED)
    columns = [getattr(Customer, name) for name in EXPORTED]
    rows = db.session.execute(
        select(*columns).order_by(Customer.id), execution_options={"yield_per": PART}
    )
    for count, (ident, *cells, created_at, updated_at) in enumerate(rows, 1):
        told = [defused(cell or "") for cell in cells]
        writer.writerow([ident, *told, rfc3339(created_at), rfc3339(updated_at)])
        yield count


def _checked_names(header: Sequence[str]) -> Sequence[str]:
    names = [name.strip().lower() for name in header]
    if not names:
        raise NotCustomers("The file is empty.")
    unknown = [repr(name) for name in names if name not in READ + TOLD]
    if unknown:
        raise NotCustomers(
            f"Its first line names columns that are not known: {', '.join(unknown)}."
            f" It may name {', '.join(READ)}."
        )
    missing = [name for name in ("first_name", "last_name") if name not in names]
    if missing:
        raise NotCustomers(f"Its first line must name the columns: {', '.join(missing)}.")
    if len(set(names)) < len(names):
        raise NotCustomers("Its first line names a column twice.")
    return names


def _line(schema: CustomerSchema, number: int, names: Sequence[str], cells: Sequence[str]) -> Line:
    if len(cells) != len(names):
        return Line(number, {}, [f"It has {len(cells)} cells, and the first line {len(names)}."])
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return Line(number, {}, ["It is not UTF-8."])
    found = {name: restored(cell) for name, cell in zip(names, cells, strict=True) if name in READ}
    given = {name: cell for name, cell in found.items() if name not in NULLABLE or cell.strip()}
    try:
        values = schema.load(given)
    except ValidationError as error:
        told = error.messages_dict.items()
        return Line(number, {}, [f"{name}: {' '.join(texts)}" for name, texts in told])
    return Line(number, dict.fromkeys(READ) | values)
