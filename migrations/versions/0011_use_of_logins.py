"""When and from where a login was used, which users see in the list of their sessions.

Nullable, because logins from before the migration have neither.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("login", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("login", sa.Column("address", sa.String(length=100), nullable=True))


def downgrade() -> None:
    op.drop_column("login", "address")
    op.drop_column("login", "last_used_at")
