"""Production: locations, sprocket types, factories and their charts, sprockets

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "location",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("address_1", sa.String(length=200), nullable=False),
        sa.Column("address_2", sa.String(length=200), nullable=True),
        sa.Column("city", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=100), nullable=True),
        sa.Column("postal_code", sa.String(length=20), nullable=False),
        sa.Column("postal_code_folded", sa.String(length=60), nullable=False),
        sa.Column("country_code", sa.String(length=2), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_location_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_location")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("location", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_location_postal_code_folded_id"),
            ["postal_code_folded", "id"],
            unique=False,
        )

    op.create_table(
        "sprocket_type",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("teeth", sa.Integer(), nullable=False),
        sa.Column("pitch_diameter", sa.Double(), nullable=False),
        sa.Column("pitch", sa.Double(), nullable=False),
        sa.Column("outside_diameter", sa.Double(), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_sprocket_type_name")),
        sa.CheckConstraint(
            "outside_diameter >= pitch_diameter AND outside_diameter <= 1000000",
            name=op.f("ck_sprocket_type_outside_diameter"),
        ),
        sa.CheckConstraint("pitch > 0 AND pitch <= 1000000", name=op.f("ck_sprocket_type_pitch")),
        sa.CheckConstraint(
            "pitch_diameter > 0 AND pitch_diameter <= 1000000",
            name=op.f("ck_sprocket_type_pitch_diameter"),
        ),
        sa.CheckConstraint("teeth BETWEEN 1 AND 100000", name=op.f("ck_sprocket_type_teeth")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sprocket_type")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "factory",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column(
            "location_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("sprocket_production_goal", sa.Integer(), nullable=False),
        sa.Column("sprocket_production_actual", sa.Integer(), nullable=False),
        sa.Column("chart_length", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_factory_name")),
        sa.CheckConstraint(
            "sprocket_production_actual BETWEEN 0 AND 1000000000", name=op.f("ck_factory_actual")
        ),
        sa.CheckConstraint(
            "sprocket_production_goal BETWEEN 0 AND 1000000000", name=op.f("ck_factory_goal")
        ),
        sa.ForeignKeyConstraint(
            ["location_id"], ["location.id"], name=op.f("fk_factory_location_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_factory")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("factory", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_factory_location_id"), ["location_id"], unique=False)

    op.create_table(
        "chart_block",
        sa.Column(
            "factory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lowest_actual", sa.BigInteger(), nullable=False),
        sa.Column("highest_actual", sa.BigInteger(), nullable=False),
        sa.Column("lowest_goal", sa.BigInteger(), nullable=False),
        sa.Column("highest_goal", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["factory_id"],
            ["factory.id"],
            name=op.f("fk_chart_block_factory_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("factory_id", "number", name=op.f("pk_chart_block")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "chart_point",
        sa.Column(
            "factory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("goal", sa.Integer(), nullable=False),
        sa.Column("actual", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["factory_id"],
            ["factory.id"],
            name=op.f("fk_chart_point_factory_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("factory_id", "number", name=op.f("pk_chart_point")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("chart_point", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_chart_point_factory_id_time_number"),
            ["factory_id", "time", "number"],
            unique=False,
        )

    op.create_table(
        "sprocket",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column(
            "sprocket_type_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "factory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_sprocket_name")),
        sa.ForeignKeyConstraint(
            ["factory_id"], ["factory.id"], name=op.f("fk_sprocket_factory_id")
        ),
        sa.ForeignKeyConstraint(
            ["sprocket_type_id"], ["sprocket_type.id"], name=op.f("fk_sprocket_sprocket_type_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sprocket")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("sprocket", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_sprocket_factory_id_id"), ["factory_id", "id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_sprocket_factory_id_sprocket_type_id_id"),
            ["factory_id", "sprocket_type_id", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_sprocket_sprocket_type_id_id"), ["sprocket_type_id", "id"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("sprocket", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sprocket_sprocket_type_id_id"))
        batch_op.drop_index(batch_op.f("ix_sprocket_factory_id_sprocket_type_id_id"))
        batch_op.drop_index(batch_op.f("ix_sprocket_factory_id_id"))

    op.drop_table("sprocket")
    with op.batch_alter_table("chart_point", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_chart_point_factory_id_time_number"))

    op.drop_table("chart_point")
    op.drop_table("chart_block")
    with op.batch_alter_table("factory", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_factory_location_id"))

    op.drop_table("factory")
    op.drop_table("sprocket_type")
    with op.batch_alter_table("location", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_location_postal_code_folded_id"))

    op.drop_table("location")
