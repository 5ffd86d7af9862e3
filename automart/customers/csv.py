"""Import and export of customers as CSV. Both are streamed. Exports are safe in spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import TextIO

from sqlalchemy import select

from automart.core import csv_import
from automart.core.batches import BATCH_SIZE
from automart.core.csv_import import Columns, Line, escape_formula
from automart.core.db import db, disable_idle_timeout
from automart.customers import service
from automart.customers.models import Customer
from automart.customers.schemas import NewCustomer
from automart.web.fields import rfc3339

READ = ("first_name", "last_name", "email", "phone")
INFORMATIVE = ("id", "created_at", "updated_at")
"""Columns that are exported for information. An import ignores them."""
EXPORTED = ("id", *READ, "created_at", "updated_at")
COLUMNS = Columns(required=READ[:2], optional=READ[2:], ignored=INFORMATIVE)


def read_customers(file: TextIO) -> Iterator[Line]:
    """Yield the customers of a CSV file that `text_of` opened. Raises `NotReadable`."""
    schema = NewCustomer()
    return csv_import.read_lines(
        file, COLUMNS, lambda cells: dict.fromkeys(READ) | schema.load(cells)
    )


def add_customers(lines: Sequence[Line]) -> int:
    """Add the customers of `lines` in the current transaction. Return their number."""
    service.create_customers([line.values for line in lines])
    return len(lines)


def write_customers(file: TextIO) -> Iterator[int]:
    """Write a snapshot of all customers as CSV. Yield the number of customers written so far."""
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(EXPORTED)
    disable_idle_timeout()  # the output may be a pager
    columns = [getattr(Customer, name) for name in EXPORTED]
    rows = db.session.execute(
        select(*columns).order_by(Customer.id), execution_options={"yield_per": BATCH_SIZE}
    )
    for count, (ident, *cells, created_at, updated_at) in enumerate(rows, 1):
        texts = [escape_formula(cell or "") for cell in cells]
        writer.writerow([ident, *texts, rfc3339(created_at), rfc3339(updated_at)])
        yield count
