"""Dealers, cars, bookings; confirmed bookings of a car cannot overlap

On SQLite, alembic alters a table by copying it and loses its triggers: create them again after
`batch_alter_table` of `booking`.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PERIOD = "tstzrange(start_datetime, end_datetime)"
POSTGRESQL = f"""
ALTER TABLE booking ADD CONSTRAINT no_double_booking
EXCLUDE USING gist (car_id WITH =, {PERIOD} WITH &&) WHERE (status = 'confirmed')
"""
# SQLite stores times as UTC text of constant width, which sorts by time. Existing bookings do not
# overlap, so only the last one that begins before the new one ends can overlap it.
SQLITE_TRIGGERS = {
    "no_double_booking_insert": ("INSERT", ""),
    "no_double_booking_update": (
        "UPDATE OF id, car_id, start_datetime, end_datetime, status",
        "AND id <> OLD.id",
    ),
}
SQLITE = """
CREATE TRIGGER {name} BEFORE {event} ON booking
WHEN NEW.status = 'confirmed' AND NEW.car_id IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'no_double_booking')
    WHERE NEW.start_datetime < (
        SELECT end_datetime FROM booking
        WHERE car_id = NEW.car_id AND status = 'confirmed'
            AND start_datetime < NEW.end_datetime {others}
        ORDER BY start_datetime DESC LIMIT 1
    );
END
"""


def upgrade() -> None:
    price = sa.Numeric(9, 2).with_variant(sa.BigInteger(), "sqlite")  # there in cents
    total = sa.Numeric(16, 2).with_variant(sa.BigInteger(), "sqlite")
    op.create_table(
        "dealer",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_dealer_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dealer")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "car",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("make_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("model_folded", sa.String(length=765), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("color", sa.String(length=200), nullable=False),
        sa.Column("daily_price", price, nullable=False),
        sa.Column("vin", sa.String(length=17), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "available",
                "maintenance",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column(
            "dealer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.CheckConstraint("daily_price > 0", name=op.f("ck_car_daily_price")),
        sa.CheckConstraint("length(vin) = 17 AND vin = upper(vin)", name=op.f("ck_car_vin")),
        sa.CheckConstraint("year >= 1901", name=op.f("ck_car_year")),
        sa.ForeignKeyConstraint(
            ["dealer_id"], ["dealer.id"], name=op.f("fk_car_dealer_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["make_id"], ["vehicle_make.id"], name=op.f("fk_car_make_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_car")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("car", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_car_daily_price"), ["daily_price"], unique=False)
        batch_op.create_index(batch_op.f("ix_car_dealer_id_id"), ["dealer_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_car_make_id_id"), ["make_id", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_car_model_folded_id"), ["model_folded", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_car_status_id"), ["status", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_car_year_id"), ["year", "id"], unique=False)
        batch_op.create_index("uq_car_vin", ["vin"], unique=True)

    op.create_table(
        "booking",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("car_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column(
            "customer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True
        ),
        sa.Column("customer_name", sa.String(length=200), nullable=False),
        sa.Column("customer_email", sa.String(length=254), nullable=True),
        sa.Column("customer_email_folded", sa.String(length=762), nullable=True),
        sa.Column("start_datetime", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_datetime", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "confirmed",
                "cancelled",
                name="status",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("daily_price", price, nullable=False),
        sa.Column("total_price", total, nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("daily_price > 0", name=op.f("ck_booking_daily_price")),
        sa.CheckConstraint("start_datetime < end_datetime", name=op.f("ck_booking_period")),
        sa.CheckConstraint("total_price > 0", name=op.f("ck_booking_total_price")),
        sa.ForeignKeyConstraint(
            ["car_id"], ["car.id"], name=op.f("fk_booking_car_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customer.id"],
            name=op.f("fk_booking_customer_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_booking")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("booking", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_booking_car_id_id"), ["car_id", "id"], unique=False)
        batch_op.create_index(
            "ix_booking_confirmed",
            ["car_id", "start_datetime", "end_datetime"],
            unique=False,
            sqlite_where=sa.text("status = 'confirmed'"),
            postgresql_where=sa.text("status = 'confirmed'"),
        )
        batch_op.create_index(
            batch_op.f("ix_booking_customer_email_folded_id"),
            ["customer_email_folded", "id"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_booking_customer_id_id"), ["customer_id", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_booking_end_datetime"), ["end_datetime"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_booking_start_datetime"), ["start_datetime"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_booking_status_id"), ["status", "id"], unique=False)
    refuse_double_bookings()


def refuse_double_bookings() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
        op.execute(POSTGRESQL)
        return
    for name, (event, others) in SQLITE_TRIGGERS.items():
        op.execute(SQLITE.format(name=name, event=event, others=others))


def downgrade() -> None:
    with op.batch_alter_table("booking", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_booking_status_id"))
        batch_op.drop_index(batch_op.f("ix_booking_start_datetime"))
        batch_op.drop_index(batch_op.f("ix_booking_end_datetime"))
        batch_op.drop_index(batch_op.f("ix_booking_customer_id_id"))
        batch_op.drop_index(batch_op.f("ix_booking_customer_email_folded_id"))
        batch_op.drop_index(
            "ix_booking_confirmed",
            sqlite_where=sa.text("status = 'confirmed'"),
            postgresql_where=sa.text("status = 'confirmed'"),
        )
        batch_op.drop_index(batch_op.f("ix_booking_car_id_id"))

    op.drop_table("booking")
    with op.batch_alter_table("car", schema=None) as batch_op:
        batch_op.drop_index("uq_car_vin")
        batch_op.drop_index(batch_op.f("ix_car_year_id"))
        batch_op.drop_index(batch_op.f("ix_car_status_id"))
        batch_op.drop_index(batch_op.f("ix_car_model_folded_id"))
        batch_op.drop_index(batch_op.f("ix_car_make_id_id"))
        batch_op.drop_index(batch_op.f("ix_car_dealer_id_id"))
        batch_op.drop_index(batch_op.f("ix_car_daily_price"))

    op.drop_table("car")
    op.drop_table("dealer")
