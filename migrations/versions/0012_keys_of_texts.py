"""Keys of e-mail addresses and search texts of customers, as this release compares them.

Domains are compared in their ASCII form, and a search ignores the kind of hyphen and apostrophe.
Only texts outside ASCII have new keys.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from automart.core.text import email_key
from automart.customers.search_text import search_text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ROWS_AT_A_TIME = 5000


def upgrade() -> None:
    customer = sa.table(
        "customer",
        *map(sa.column, ("id", "first_name", "last_name", "email", "search_text")),
    )
    texts = [customer.c.first_name, customer.c.last_name, customer.c.email]
    _renew(customer.c.id, texts, customer.c.search_text, search_text)
    booking = sa.table(
        "booking", *map(sa.column, ("id", "customer_email", "customer_email_folded"))
    )
    _renew(booking.c.id, [booking.c.customer_email], booking.c.customer_email_folded, email_key)
    user = sa.table("user_account", *map(sa.column, ("id", "email", "email_folded")))
    taken = set(op.get_bind().scalars(sa.select(user.c.email_folded)))

    def free_key(email: str) -> str | None:
        key = email_key(email)
        return None if key in taken else key

    # Two accounts whose addresses differ in the form of the domain alone stay as they are.
    _renew(user.c.id, [user.c.email], user.c.email_folded, free_key)


def downgrade() -> None:
    """Keep the keys: the previous release finds all but domains outside ASCII."""


def _renew(
    ident: sa.ColumnClause[Any],
    texts: list[sa.ColumnClause[Any]],
    key: sa.ColumnClause[Any],
    key_of: Callable[..., str | None],
) -> None:
    for rows in _pages(ident, texts):
        new = [
            {"row_id": row[0], "new_key": new_key}
            for row in rows
            if not "".join(text or "" for text in row[1:]).isascii()
            and (new_key := key_of(*row[1:])) is not None
        ]
        if new:
            change = sa.update(ident.table).where(ident == sa.bindparam("row_id"))
            op.get_bind().execute(change.values({key.name: sa.bindparam("new_key")}), new)


def _pages(
    ident: sa.ColumnClause[Any], texts: list[sa.ColumnClause[Any]]
) -> Iterator[list[sa.Row[Any]]]:
    last = 0
    while rows := list(
        op.get_bind().execute(
            sa.select(ident, *texts).where(ident > last).order_by(ident).limit(_ROWS_AT_A_TIME)
        )
    ):
        yield rows
        last = rows[-1][0]
