"""The job of an idempotency key, so that `Prefer: wait` works on a replay.

Nullable, because most requests submit no job. The keys of the day before the migration have none:
a replay of such a request does not wait.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("idempotency_key", sa.Column("job_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("idempotency_key", "job_id")
