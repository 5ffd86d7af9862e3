"""The sample customer of a new database."""

from __future__ import annotations

from sqlalchemy import exists, select

from automart.core.db import db
from automart.customers import service
from automart.customers.models import Customer

JOHN_DOE = {"first_name": "John", "last_name": "Doe", "email": None, "phone": None}


def add_sample_customer() -> bool:
    """Add John Doe to a database without customers, in the current transaction.

    Return whether he was added.
    """
    if db.session.scalar(select(exists().select_from(Customer))):
        return False
    service.create_customers([JOHN_DOE])
    return True
