"""NHTSA's answers about VINs, which are kept for 30 days.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vin_decoding",
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column("decoded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("vin", name="pk_vin_decoding"),
    )
    op.create_index("ix_vin_decoding_decoded_at", "vin_decoding", ["decoded_at"])


def downgrade() -> None:
    op.drop_table("vin_decoding")
