"""Since when a make is held, until a sync applies its changes or no longer holds it.

Nullable, because most makes are not held. Makes that the last sync before the migration held are
held from now on.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# A few thousand rows that only syncs and administrators write, and few of them are held.
accepted = {
    "require-concurrent-index-creation": "makes are few, and requests only read them",
    "large-write": "only the few makes that are held are written",
}

_IS_HELD = sa.text("held_since IS NOT NULL")
_HOLD = sa.text(
    "UPDATE vehicle_make SET held_since = :now WHERE id IN ("
    " SELECT outcome.make_id FROM sync_outcome AS outcome"
    " JOIN job ON job.id = outcome.job_id"
    " JOIN vehicle_make AS make ON make.id = outcome.make_id"
    " WHERE outcome.state = 'held'"
    " AND (make.synced_at IS NULL OR job.created_at > make.synced_at))"
).bindparams(sa.bindparam("now", type_=sa.DateTime(timezone=True)))


def upgrade() -> None:
    op.add_column(
        "vehicle_make", sa.Column("held_since", sa.DateTime(timezone=True), nullable=True)
    )
    op.get_bind().execute(_HOLD, {"now": datetime.now(UTC)})
    op.create_index(
        "ix_vehicle_make_held_since",
        "vehicle_make",
        ["held_since"],
        sqlite_where=_IS_HELD,
        postgresql_where=_IS_HELD,
    )


def downgrade() -> None:
    op.drop_index("ix_vehicle_make_held_since", "vehicle_make")
    op.drop_column("vehicle_make", "held_since")
