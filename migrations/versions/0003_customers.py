"""Customers, and photo files without a customer

On PostgreSQL, a trigram index finds parts of names. Parts of one or two characters, such as many
Chinese names, have no trigram and get an index of their own. `pg_trgm` is a trusted extension: a
role that may create objects in the database may create it. A downgrade keeps it, because others may
use it by then.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SHORT_PARTS = """
CREATE FUNCTION short_parts(searched text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(DISTINCT substr(searched, beginning, size))
    FROM generate_series(1, length(searched)) AS beginning, generate_series(1, 2) AS size
$$
"""

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "loose_photo",
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("is_doomed", sa.Boolean(), nullable=False),  # codespell:ignore
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_loose_photo")),
    )
    op.create_index("ix_loose_photo_created_at", "loose_photo", ["created_at"])

    op.create_table(
        "customer",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("first_name", sa.String(length=50), nullable=False),
        sa.Column("last_name", sa.String(length=50), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("phone", sa.String(length=50), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("photo_token", sa.String(length=32), nullable=True),
        sa.Column("created_by", BIG_ID, nullable=True),
        sa.Column("updated_by", BIG_ID, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("first_name <> ''", name=op.f("ck_customer_first_name")),
        sa.CheckConstraint("last_name <> ''", name=op.f("ck_customer_last_name")),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["user_account.id"],
            name=op.f("fk_customer_created_by"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["updated_by"],
            ["user_account.id"],
            name=op.f("fk_customer_updated_by"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_customer_created_by", "customer", ["created_by"])
    op.create_index("ix_customer_updated_by", "customer", ["updated_by"])
    op.create_index("uq_customer_photo_token", "customer", ["photo_token"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        op.create_index(
            "ix_customer_search_text",
            "customer",
            ["search_text"],
            postgresql_using="gin",
            postgresql_ops={"search_text": "gin_trgm_ops"},
        )
        op.execute(SHORT_PARTS)
        op.create_index(
            "ix_customer_short_parts",
            "customer",
            [sa.text("short_parts(search_text)")],
            postgresql_using="gin",
        )


def downgrade() -> None:
    op.drop_table("customer")
    op.drop_table("loose_photo")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION short_parts")
