"""Times of cars

Nullable, because the previous release adds cars without them while both are running.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

accepted = {"ban-drop-default": "The columns are new: no client relies on their default."}

NAMES = ("created_at", "updated_at")


def upgrade() -> None:
    # The time when existing cars were added is unknown. This is the earliest time that is certain.
    if op.get_bind().dialect.name == "postgresql":
        for name in NAMES:
            # PostgreSQL rewrites no rows for a default, and keeps its value for existing rows.
            column = sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now())
            op.add_column("car", column)
            op.alter_column("car", name, server_default=None)
        return
    for name in NAMES:
        op.add_column("car", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    car = sa.table("car", *(sa.column(name, sa.DateTime(timezone=True)) for name in NAMES))
    op.execute(sa.update(car).values(dict.fromkeys(NAMES, datetime.now(UTC))))


def downgrade() -> None:
    for name in reversed(NAMES):
        op.drop_column("car", name)
