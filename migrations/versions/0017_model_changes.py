"""Changes of models, and counters of ids that are never used again.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_IS_OF_SYNC = sa.text("sync_id IS NOT NULL")
_IS_PROPOSAL = sa.text("proposed_by IS NOT NULL")
# Own makes and models may exist already.
_COUNT_OWN = "INSERT INTO id_counter (name, last) SELECT :name, max(id) FROM {} WHERE id > :largest"
_LARGEST_NHTSA_ID = 1_000_000_000_000
_COUNTERS = {"own_make": "vehicle_make", "own_model": "vehicle_model"}


def upgrade() -> None:
    op.create_table(
        "id_counter",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("last", _BIG_ID, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_id_counter"),
    )
    for name, table in _COUNTERS.items():
        count = sa.text(f"{_COUNT_OWN.format(table)} HAVING count(*) > 0")
        op.get_bind().execute(count, {"name": name, "largest": _LARGEST_NHTSA_ID})
    op.create_table(
        "model_change",
        sa.Column("id", _BIG_ID, autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sync_id", sa.Uuid(), nullable=True),
        sa.Column("proposed_by", sa.Uuid(), nullable=True),
        sa.Column("make_id", _BIG_ID, nullable=False),
        sa.Column("make_name", sa.String(length=255), nullable=False),
        sa.Column("model_id", _BIG_ID, nullable=False),
        sa.Column("change", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("previous_name", sa.String(length=255), nullable=True),
        sa.Column("previous_make_id", _BIG_ID, nullable=True),
        sa.Column("replaced_id", _BIG_ID, nullable=True),
        sa.CheckConstraint(
            "change IN ('created', 'renamed', 'moved', 'deleted', 'adopted')",
            name=op.f("ck_model_change_change"),
        ),
        sa.ForeignKeyConstraint(
            ["proposed_by"], ["job.id"], name="fk_model_change_proposed_by", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_change"),
    )
    op.create_index("ix_model_change_make_id_id", "model_change", ["make_id", "id"])
    op.create_index("ix_model_change_model_id_id", "model_change", ["model_id", "id"])
    op.create_index(
        "ix_model_change_sync_id_id",
        "model_change",
        ["sync_id", "id"],
        sqlite_where=_IS_OF_SYNC,
        postgresql_where=_IS_OF_SYNC,
    )
    op.create_index(
        "ix_model_change_proposed_by_previous_make_id",
        "model_change",
        ["proposed_by", "previous_make_id"],
        sqlite_where=_IS_PROPOSAL,
        postgresql_where=_IS_PROPOSAL,
    )
    op.create_index(
        "ix_model_change_proposals",
        "model_change",
        ["id"],
        sqlite_where=_IS_PROPOSAL,
        postgresql_where=_IS_PROPOSAL,
    )


def downgrade() -> None:
    op.drop_table("model_change")
    op.drop_table("id_counter")
