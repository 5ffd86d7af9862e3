"""Import and export of customers as CSV. Both are streamed. Exports are safe in spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import TextIO

from sqlalchemy import select

from automart.core.batches import BATCH_SIZE
from automart.core.csv_columns import Columns
from automart.core.csv_import import Importer, Load, Values, escape_formula
from automart.core.db import db, disable_idle_timeout
from automart.customers import service
from automart.customers.models import Customer
from automart.customers.schemas import NewCustomer
from automart.web.fields import rfc3339

READ = ("first_name", "last_name", "email", "phone")
INFORMATIVE = ("id", "created_at", "updated_at")
"""Columns that are exported for information. An import ignores them."""
EXPORTED = ("id", *READ, "created_at", "updated_at")
# Those of Google Contacts and Outlook in English, and plain variants.
HEADINGS = {
    "given_name": "first_name",
    "firstname": "first_name",
    "forename": "first_name",
    "family_name": "last_name",
    "lastname": "last_name",
    "surname": "last_name",
    "e_mail": "email",
    "e_mail_address": "email",
    "email_address": "email",
    "e_mail_1_value": "email",
    "email_1_value": "email",
    "phone_1_value": "phone",
    "phone_number": "phone",
    "mobile": "phone",
    "mobile_phone": "phone",
    "telephone": "phone",
}
COLUMNS = Columns(READ[:2], READ[2:], INFORMATIVE, HEADINGS)


def new_customer_check() -> Load:
    """Return the function that checks the customers of one file."""
    schema = NewCustomer()
    return lambda cells: dict.fromkeys(READ) | schema.load(cells)


def add_customers(rows: Sequence[Values], created_by: int | None) -> None:
    """Add customers in the current transaction."""
    service.create_customers(rows, created_by)


CUSTOMERS = Importer(COLUMNS, new_customer_check, add_customers)


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
