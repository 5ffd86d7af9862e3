"""Purchases: offices, manufacturers, purchases and their history, webhook deliveries

Triggers keep the order of states, because a CHECK sees only the new state. On SQLite, alembic
alters a table by copying it and loses its triggers: create them again after `batch_alter_table` of
`purchase`.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FIRST = "NEW.state <> 'ordered'"
BROKEN = """
OLD.state <> NEW.state AND NOT (
    (OLD.state = 'ordered' AND NEW.state IN ('manufacturing', 'cancelled'))
    OR (OLD.state = 'manufacturing' AND NEW.state IN ('manufactured', 'cancelled'))
    OR (OLD.state = 'manufactured' AND NEW.state = 'shipped')
    OR (OLD.state = 'shipped' AND NEW.state = 'delivered')
)
"""
TRIGGERS = {
    "purchase_state_begins": ("INSERT", FIRST),
    "purchase_state_follows": ("UPDATE OF state", BROKEN),
}
SQLITE = """
CREATE TRIGGER {name} BEFORE {event} ON purchase WHEN {condition}
BEGIN
    SELECT RAISE(ABORT, 'purchase_state_follows');
END
"""
POSTGRESQL_FUNCTION = """
CREATE FUNCTION refuse_purchase_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'purchase_state_follows'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'purchase_state_follows';
END
$$
"""
POSTGRESQL = """
CREATE TRIGGER {name} BEFORE {event} ON purchase
FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse_purchase_state()
"""


def upgrade() -> None:
    op.create_table(
        "manufacturer",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_manufacturer_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_manufacturer")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "regional_office",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("webhook_url", sa.String(length=2000), nullable=True),
        sa.Column("webhook_enabled", sa.Boolean(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("name <> ''", name=op.f("ck_regional_office_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_regional_office")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "manufacturer_make",
        sa.Column(
            "manufacturer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("make_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["make_id"],
            ["vehicle_make.id"],
            name=op.f("fk_manufacturer_make_make_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["manufacturer_id"],
            ["manufacturer.id"],
            name=op.f("fk_manufacturer_make_manufacturer_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("manufacturer_id", "make_id", name=op.f("pk_manufacturer_make")),
    )
    with op.batch_alter_table("manufacturer_make", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_manufacturer_make_make_id"), ["make_id"], unique=False)

    op.create_table(
        "partner_client",
        sa.Column("client_id", sa.String(length=50), nullable=False),
        sa.Column(
            "regional_office_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
        ),
        sa.Column(
            "manufacturer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True
        ),
        sa.CheckConstraint(
            "(regional_office_id IS NULL) <> (manufacturer_id IS NULL)",
            name=op.f("ck_partner_client_one_partner"),
        ),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["client.id"],
            name=op.f("fk_partner_client_client_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["manufacturer_id"],
            ["manufacturer.id"],
            name=op.f("fk_partner_client_manufacturer_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["regional_office_id"],
            ["regional_office.id"],
            name=op.f("fk_partner_client_regional_office_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_partner_client")),
    )
    with op.batch_alter_table("partner_client", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_partner_client_manufacturer_id"), ["manufacturer_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_partner_client_regional_office_id"), ["regional_office_id"], unique=False
        )

    op.create_table(
        "purchase",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "regional_office_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
        ),
        sa.Column("external_order_number", sa.String(length=100), nullable=False),
        sa.Column("make_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("car_model", sa.String(length=255), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "ordered",
                "manufacturing",
                "manufactured",
                "shipped",
                "delivered",
                "cancelled",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "external_order_number <> ''", name=op.f("ck_purchase_external_order_number")
        ),
        sa.ForeignKeyConstraint(
            ["make_id"], ["vehicle_make.id"], name=op.f("fk_purchase_make_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["regional_office_id"],
            ["regional_office.id"],
            name=op.f("fk_purchase_regional_office_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purchase")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("purchase", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_purchase_make_id_id"), ["make_id", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_purchase_make_id_state_id"), ["make_id", "state", "id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_purchase_regional_office_id_id"),
            ["regional_office_id", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_purchase_regional_office_id_make_id_id"),
            ["regional_office_id", "make_id", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_purchase_regional_office_id_state_id"),
            ["regional_office_id", "state", "id"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_purchase_state_id"), ["state", "id"], unique=False)
        batch_op.create_index(
            "uq_purchase_order_number", ["regional_office_id", "external_order_number"], unique=True
        )

    op.create_table(
        "webhook_secret",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "regional_office_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
        ),
        sa.Column("sealed", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["regional_office_id"],
            ["regional_office.id"],
            name=op.f("fk_webhook_secret_regional_office_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_secret")),
    )
    with op.batch_alter_table("webhook_secret", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_webhook_secret_regional_office_id"), ["regional_office_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_secret_retired_at"), ["retired_at"], unique=False
        )

    op.create_table(
        "purchase_change",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "purchase_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "previous_state",
            sa.Enum(
                "ordered",
                "manufacturing",
                "manufactured",
                "shipped",
                "delivered",
                "cancelled",
                name="previous_state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=True,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "ordered",
                "manufacturing",
                "manufactured",
                "shipped",
                "delivered",
                "cancelled",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["purchase_id"],
            ["purchase.id"],
            name=op.f("fk_purchase_change_purchase_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purchase_change")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("purchase_change", schema=None) as batch_op:
        batch_op.create_index("uq_purchase_change_state", ["purchase_id", "state"], unique=True)

    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("webhook_id", sa.String(length=50), nullable=False),
        sa.Column(
            "regional_office_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
        ),
        sa.Column(
            "purchase_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "change_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "succeeded",
                "failed",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (state = 'pending')", name=op.f("ck_webhook_delivery_ended_at")
        ),
        sa.CheckConstraint(
            "next_attempt_at IS NULL OR state = 'pending'",
            name=op.f("ck_webhook_delivery_next_attempt_at"),
        ),
        sa.ForeignKeyConstraint(
            ["change_id"],
            ["purchase_change.id"],
            name=op.f("fk_webhook_delivery_change_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["purchase_id"],
            ["purchase.id"],
            name=op.f("fk_webhook_delivery_purchase_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["regional_office_id"],
            ["regional_office.id"],
            name=op.f("fk_webhook_delivery_regional_office_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("webhook_delivery", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_created_at"), ["created_at"], unique=False
        )
        batch_op.create_index(
            "ix_webhook_delivery_due",
            ["regional_office_id", "next_attempt_at"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_ended_at"), ["ended_at"], unique=False
        )
        batch_op.create_index(
            "ix_webhook_delivery_pending",
            ["purchase_id", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_purchase_id"), ["purchase_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_regional_office_id_id"),
            ["regional_office_id", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_regional_office_id_state_id"),
            ["regional_office_id", "state", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_webhook_delivery_state_id"), ["state", "id"], unique=False
        )
        batch_op.create_index("uq_webhook_delivery_change_id", ["change_id"], unique=True)
        batch_op.create_index("uq_webhook_delivery_webhook_id", ["webhook_id"], unique=True)

    op.create_table(
        "delivery_attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "delivery_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("error", sa.String(length=500), nullable=True),
        sa.CheckConstraint(
            "(status IS NULL) = (error IS NOT NULL)", name=op.f("ck_delivery_attempt_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["webhook_delivery.id"],
            name=op.f("fk_delivery_attempt_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempt")),
    )
    with op.batch_alter_table("delivery_attempt", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_delivery_attempt_delivery_id_id"), ["delivery_id", "id"], unique=False
        )
    create_trigger = SQLITE
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL_FUNCTION)
        create_trigger = POSTGRESQL
    for name, (event, condition) in TRIGGERS.items():
        op.execute(create_trigger.format(name=name, event=event, condition=condition))


def downgrade() -> None:
    for table in (
        "delivery_attempt",
        "webhook_delivery",
        "purchase_change",
        "webhook_secret",
        "purchase",
        "partner_client",
        "manufacturer_make",
        "regional_office",
        "manufacturer",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_purchase_state")
