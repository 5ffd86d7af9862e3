"""Notices to the operators, and the makes that they have reported as held.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from automart.core.db_types import BigId

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "notice",
        sa.Column("id", BigId, nullable=False),
        sa.Column("subject", sa.String(length=100), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("accepted_by", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("next_attempt_at", time, nullable=True),
        sa.Column("ended_at", time, nullable=True),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed')", name=op.f("ck_notice_state")),
        sa.CheckConstraint(
            "(next_attempt_at IS NOT NULL) = (state = 'pending')",
            name=op.f("ck_notice_next_attempt_at"),
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (state = 'pending')", name=op.f("ck_notice_ended_at")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    op.create_index("uq_notice_subject", "notice", ["subject"], unique=True)
    op.create_index("ix_notice_state_next_attempt_at", "notice", ["state", "next_attempt_at"])
    op.create_index("ix_notice_ended_at", "notice", ["ended_at"])
    op.create_table(
        "reported_make",
        sa.Column("make_id", BigId, autoincrement=False, nullable=False),
        sa.Column("make_name", sa.String(length=255), nullable=False),
        sa.Column("reported_at", time, nullable=False),
        sa.PrimaryKeyConstraint("make_id", name=op.f("pk_reported_make")),
    )


def downgrade() -> None:
    op.drop_table("reported_make")
    op.drop_table("notice")
