"""Customers as CSV, in and out: streamed, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import TextIO

import sqlalchemy
from sqlalchemy import select

from automart.core import csv_import
from automart.core.batches import BATCH_SIZE
from automart.core.csv_import import Columns, Line, escape_formula
from automart.core.db import db, disable_idle_timeout, utcnow
from automart.customers.folding import search_text
from automart.customers.models import Customer
from automart.customers.schemas import CustomerSchema
from automart.web.fields import rfc3339

READ = ("first_name", "last_name", "email", "phone")
TOLD = ("id", "created_at", "updated_at")
"""Columns that are exported for information. An import leaves them alone."""
EXPORTED = ("id", *READ, "created_at", "updated_at")
COLUMNS = Columns(required=READ[:2], optional=READ[2:], ignored=TOLD)


def read(file: TextIO) -> Iterator[Line]:
    """The customers of a CSV file that `text_of` opened. Raises `NotReadable`."""
    schema = CustomerSchema()
    return csv_import.read_lines(
        file, COLUMNS, lambda cells: dict.fromkeys(READ) | schema.load(cells)
    )


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
    disable_idle_timeout()  # somebody may be turning pages
    columns = [getattr(Customer, name) for name in EXPORTED]
    rows = db.session.execute(
        select(*columns).order_by(Customer.id), execution_options={"yield_per": BATCH_SIZE}
    )
    for count, (ident, *cells, created_at, updated_at) in enumerate(rows, 1):
        told = [escape_formula(cell or "") for cell in cells]
        writer.writerow([ident, *told, rfc3339(created_at), rfc3339(updated_at)])
        yield count
