"""Bookings of all cars by range: an index by time, and indexes of the long ones.

They replace the indexes of only the start and only the end, of which the previous release needs
neither: it reads more rows without them.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

RANGE = ["start_datetime", "end_datetime", "id"]
LENGTHS = (2, 31, 366)
REPLACED = ("start_datetime", "end_datetime")


def upgrade() -> None:
    _create("ix_booking_start_datetime_end_datetime_id", RANGE)
    for days in LENGTHS:
        _create(
            f"ix_booking_over_{days}_days",
            RANGE,
            sqlite_where=sa.text(f"julianday(end_datetime) - julianday(start_datetime) > {days}"),
            postgresql_where=sa.text(f"end_datetime - start_datetime > interval '{days} days'"),
        )
    for column in REPLACED:
        _drop(f"ix_booking_{column}")


def downgrade() -> None:
    for column in REPLACED:
        _create(f"ix_booking_{column}", [column])
    for days in LENGTHS:
        _drop(f"ix_booking_over_{days}_days")
    _drop("ix_booking_start_datetime_end_datetime_id")


def _create(name: str, columns: list[str], **options: sa.TextClause) -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.create_index(name, "booking", columns, **options)
        return
    with op.get_context().autocommit_block():
        op.create_index(
            name,
            "booking",
            columns,
            postgresql_concurrently=True,
            if_not_exists=True,
            **options,
        )


def _drop(name: str) -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.drop_index(name, "booking")
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, "booking", postgresql_concurrently=True, if_exists=True)
