"""The rules of customers: who created and last changed them, and how their photos change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import Row, bindparam, select, update

from automart.accounts.models import User
from automart.core.compiled_statement import CompiledStatement
from automart.core.db import (
    db,
    lock_or_404,
    read_or_404,
    table_of,
    transaction,
    utcnow,
    write,
)
from automart.core.errors import NotFound, Unauthenticated
from automart.customers import photos
from automart.customers.models import Customer
from automart.customers.search_text import search_text
from automart.web import current_caller

# The id of a user, who cannot be deleted until the transaction ends.
_LOCKED_USER = (
    select(table_of(User).c.id)
    .where(table_of(User).c.id == bindparam("user_id"))
    .with_for_update(read=True, key_share=True)
)

_CHANGEABLE = ("first_name", "last_name", "email", "phone")
_CUSTOMER = table_of(Customer)
_USER_ID = select(_LOCKED_USER.cte("locked_user").c.id).scalar_subquery()
# Waits for the user first, as everything does that locks both. Without the user it changes nothing.
_UPDATE = CompiledStatement(
    update(_CUSTOMER)
    .where(
        _CUSTOMER.c.id == bindparam("ident"),
        _CUSTOMER.c.updated_at == bindparam("read_updated_at"),
        # The deletion of a user changes these alone.
        _CUSTOMER.c.created_by.is_not_distinct_from(bindparam("read_created_by")),
        _CUSTOMER.c.updated_by.is_not_distinct_from(bindparam("read_updated_by")),
        _USER_ID.is_not(None),
    )
    .values(
        {_CUSTOMER.c[name]: bindparam(f"new_{name}") for name in (*_CHANGEABLE, "search_text")}
        | {_CUSTOMER.c.updated_by: _USER_ID, _CUSTOMER.c.updated_at: bindparam("new_updated_at")}
    )
    .returning(*_CUSTOMER.columns)
)


def create_customer(values: Mapping[str, Any]) -> Customer:
    """Add a customer, created by the caller."""
    user_id = _keep_user()
    customer = Customer(**values, created_by=user_id, updated_by=user_id)
    db.session.add(customer)
    return customer


def create_customers(rows: Sequence[Mapping[str, Any]], created_by: int | None = None) -> None:
    """Add many customers by one statement, created by a user, or by none if it was deleted.

    Each row has the names, `email` and `phone`.
    """
    if not rows:
        return
    now = utcnow()
    user_id = created_by and db.session.scalar(_LOCKED_USER, {"user_id": created_by})
    complete = [
        {
            **row,
            "search_text": search_text(row["first_name"], row["last_name"], row["email"]),
            "created_at": now,
            "created_by": user_id,
            "updated_by": user_id,
        }
        for row in rows
    ]
    db.session.execute(sqlalchemy.insert(Customer), complete)


def lock_customer(customer_id: int) -> Customer:
    """Return a customer, freshly read and locked. Raises `NotFound` or `Unauthenticated`.

    The calling user is locked first: deleting a user locks the user, then the customers that refer
    to it. The opposite order could deadlock.
    """
    _keep_user()
    return lock_or_404(Customer, customer_id)


def update_customer(
    customer_id: int, changes: Mapping[str, Any], check: Callable[[Row[Any]], None]
) -> Row[Any]:
    """Update a customer, unless `check` raises an error for its columns. Return its columns.

    If a value changes, the caller becomes its `updated_by`. Raises `NotFound` or `Unauthenticated`.
    Nothing is locked: a customer that changes between the reading and the writing is read again.
    """
    while True:
        customer = read_or_404(Customer, customer_id)
        check(customer)
        before = customer._asdict()
        if all(value == before[name] for name, value in changes.items()):
            return customer
        updated: Sequence[Row[Any]] = write(_UPDATE, **_parameters(before, {**before, **changes}))
        if updated:
            return updated[0]
        with transaction():
            _keep_user()


def _parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    names = {name: after[name] for name in ("first_name", "last_name", "email")}
    version = ("updated_at", "created_by", "updated_by")
    return {
        **{f"read_{name}": before[name] for name in version},
        **{f"new_{name}": after[name] for name in _CHANGEABLE},
        "ident": before["id"],
        # later in any case: no two versions have the same
        "new_updated_at": max(utcnow(), before["updated_at"] + timedelta.resolution),
        "new_search_text": search_text(**names),
        "user_id": current_caller().user_id,
    }


def delete_customer(customer: Customer) -> None:
    """Delete a locked customer and its photo."""
    photos.detach(customer)
    db.session.delete(customer)


def set_photo(customer: Customer, token: str) -> None:
    """Set the photo of a locked customer to the stored file with this token.

    Raises `Unavailable` if storing it took too long.
    """
    photos.attach(customer, token)
    customer.updated_by = current_caller().user_id


def delete_photo(customer: Customer) -> None:
    """Delete the photo of a locked customer. Raises `NotFound` if there is none."""
    if customer.photo_token is None:
        raise NotFound(f"Customer {customer.id} has no photo.")
    photos.detach(customer)
    customer.updated_by = current_caller().user_id


def _keep_user() -> int | None:
    """Return the id of the calling user, who cannot be deleted until the transaction ends.

    Raises `Unauthenticated` if the user has been deleted since the request began.
    """
    user_id = current_caller().user_id
    if db.session.scalar(_LOCKED_USER, {"user_id": user_id}) is None:
        raise Unauthenticated("The user has been deleted.", error="invalid_token")
    return user_id
