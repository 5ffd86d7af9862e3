"""Accounts: users, clients, logins, tokens; owners of jobs

A trigger keeps the last active admin, because the rule concerns all rows. On SQLite, alembic alters
a table by copying it and loses its triggers: create them again after `batch_alter_table` of
`user_account`.

Revision ID: 0002
Revises: 0001
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BUILT_IN = {"docs": "API documentation", "login": "Login"}

# Two admins can demote each other at the same moment. SQLite serialises their transactions. On
# PostgreSQL the lock makes the second one wait for the first one and then see its result.
SQLITE_TRIGGERS = {
    "last_active_admin_update": (
        "BEFORE UPDATE OF is_admin, is_active ON user_account"
        " WHEN OLD.is_admin AND OLD.is_active AND NOT (NEW.is_admin AND NEW.is_active)"
    ),
    "last_active_admin_delete": (
        "BEFORE DELETE ON user_account WHEN OLD.is_admin AND OLD.is_active"
    ),
}
SQLITE_BODY = """
BEGIN
    SELECT RAISE(ABORT, 'last_active_admin')
    WHERE NOT EXISTS (
        SELECT 1 FROM user_account WHERE is_admin AND is_active AND id <> OLD.id
    );
END
"""
POSTGRESQL = """
CREATE FUNCTION keep_last_active_admin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.is_admin AND OLD.is_active AND
       (TG_OP = 'DELETE' OR NOT (NEW.is_admin AND NEW.is_active)) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('last_active_admin', 0));
        IF NOT EXISTS (
            SELECT 1 FROM user_account WHERE is_admin AND is_active AND id <> OLD.id
        ) THEN
            RAISE EXCEPTION 'last_active_admin'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'last_active_admin';
        END IF;
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER last_active_admin
BEFORE UPDATE OF is_admin, is_active OR DELETE ON user_account
FOR EACH ROW EXECUTE FUNCTION keep_last_active_admin();
"""


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=True),
        sa.Column("subject", sa.String(length=100), nullable=True),
        sa.Column("address", sa.String(length=100), nullable=True),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_event_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_kind_id"), ["kind", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_audit_event_subject_id"), ["subject", "id"], unique=False
        )

    op.create_table(
        "client",
        sa.Column("id", sa.String(length=50), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "service",
                "application",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("secret_hash", sa.String(length=64), nullable=True),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("redirect_uris", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(kind = 'service') = (secret_hash IS NOT NULL)", name=op.f("ck_client_secret")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
    )
    op.create_table(
        "familiar_address",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_familiar_address")),
    )
    with op.batch_alter_table("familiar_address", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_familiar_address_seen_at"), ["seen_at"], unique=False)

    op.create_table(
        "login_throttle",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("charged_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_login_throttle")),
    )
    with op.batch_alter_table("login_throttle", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_login_throttle_charged_until"), ["charged_until"], unique=False
        )

    op.create_table(
        "signing_key",
        sa.Column("kid", sa.String(length=50), nullable=False),
        sa.Column("public_jwk", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("sealed_private_key", sa.String(length=1000), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_key")),
    )
    op.create_table(
        "user_account",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("email_folded", sa.String(length=762), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("email <> ''", name=op.f("ck_user_account_email")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_account")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("user_account", schema=None) as batch_op:
        batch_op.create_index("uq_user_account_email_folded", ["email_folded"], unique=True)

    op.create_table(
        "login",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("client_id", sa.String(length=50), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.id"], name=op.f("fk_login_client_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_login_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login")),
    )
    with op.batch_alter_table("login", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_login_client_id"), ["client_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_login_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_login_user_id"), ["user_id"], unique=False)

    op.create_table(
        "authorization_code",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=50), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("redirect_uri", sa.String(), nullable=True),
        sa.Column("code_challenge", sa.String(length=128), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("login_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"],
            ["client.id"],
            name=op.f("fk_authorization_code_client_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["login_id"],
            ["login.id"],
            name=op.f("fk_authorization_code_login_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["user_account.id"],
            name=op.f("fk_authorization_code_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_authorization_code")),
    )
    with op.batch_alter_table("authorization_code", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_authorization_code_client_id"), ["client_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_authorization_code_expires_at"), ["expires_at"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_authorization_code_login_id"), ["login_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_authorization_code_user_id"), ["user_id"], unique=False
        )

    op.create_table(
        "refresh_token",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("login_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["login_id"], ["login.id"], name=op.f("fk_refresh_token_login_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_token")),
    )
    with op.batch_alter_table("refresh_token", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_refresh_token_login_id"), ["login_id"], unique=False)

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index("ix_job_owner_id", ["owner", "id"], unique=False)

    add_built_in_clients()
    keep_last_active_admin()


def add_built_in_clients() -> None:
    now = datetime.now(UTC)
    client = sa.table(
        "client",
        sa.column("id", sa.String),
        sa.column("name", sa.String),
        sa.column("kind", sa.String),
        sa.column("scopes", sa.JSON),
        sa.column("redirect_uris", sa.JSON),
        sa.column("is_active", sa.Boolean),
        sa.column("created_at", sa.DateTime(timezone=True)),
        sa.column("updated_at", sa.DateTime(timezone=True)),
    )
    same = {"kind": "application", "scopes": [], "redirect_uris": [], "is_active": True}
    times = {"created_at": now, "updated_at": now}
    op.bulk_insert(client, [{"id": k, "name": v} | same | times for k, v in BUILT_IN.items()])


def keep_last_active_admin() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL)
        return
    for name, when in SQLITE_TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {when} {SQLITE_BODY}")


def downgrade() -> None:
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index("ix_job_owner_id")

    with op.batch_alter_table("refresh_token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_refresh_token_login_id"))

    op.drop_table("refresh_token")
    with op.batch_alter_table("authorization_code", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_authorization_code_user_id"))
        batch_op.drop_index(batch_op.f("ix_authorization_code_login_id"))
        batch_op.drop_index(batch_op.f("ix_authorization_code_expires_at"))
        batch_op.drop_index(batch_op.f("ix_authorization_code_client_id"))

    op.drop_table("authorization_code")
    with op.batch_alter_table("login", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_login_user_id"))
        batch_op.drop_index(batch_op.f("ix_login_expires_at"))
        batch_op.drop_index(batch_op.f("ix_login_client_id"))

    op.drop_table("login")
    with op.batch_alter_table("user_account", schema=None) as batch_op:
        batch_op.drop_index("uq_user_account_email_folded")

    op.drop_table("user_account")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION keep_last_active_admin")
    op.drop_table("signing_key")
    with op.batch_alter_table("login_throttle", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_login_throttle_charged_until"))

    op.drop_table("login_throttle")
    with op.batch_alter_table("familiar_address", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_familiar_address_seen_at"))

    op.drop_table("familiar_address")
    op.drop_table("client")
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_event_subject_id"))
        batch_op.drop_index(batch_op.f("ix_audit_event_kind_id"))
        batch_op.drop_index(batch_op.f("ix_audit_event_at"))

    op.drop_table("audit_event")
