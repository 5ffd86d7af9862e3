"""The sample customer of a new database."""

from __future__ import annotations

from sqlalchemy import exists, select

from automart.core.db import db
from automart.customers.models import Customer


def add_sample_customer() -> Customer | None:
    """Add John Doe to a database without customers, in the current transaction.

    Return the customer, None if there were others.
    """
    if db.session.scalar(select(exists().where(Customer.id.is_not(None)))):
        return None
    customer = Customer(first_name="John", last_name="Doe")
    db.session.add(customer)
    return customer
