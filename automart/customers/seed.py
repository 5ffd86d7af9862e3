"""What an empty database begins with."""

from __future__ import annotations

from sqlalchemy import exists, select

from automart.core.db import db
from automart.customers.models import Customer


def add_sample_customer() -> Customer | None:
    """Add John Doe, as customer 1 of a new database, unless there is a customer already.

    Call it in a transaction. Answers what was added.
    """
    if db.session.scalar(select(exists().where(Customer.id.is_not(None)))):
        return None
    customer = Customer(first_name="John", last_name="Doe")
    db.session.add(customer)
    return customer
