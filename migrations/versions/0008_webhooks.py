"""Webhooks: endpoints, and deliveries that store their event

URL, enabled and failing_since move from `regional_office` to `webhook_endpoint`. Secrets and
deliveries belong to an endpoint. Deliveries store type and body of their event, which were built
from `purchase_change` at every attempt before.

An office and its endpoint get the same id, so that jobs keep their singleton.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NO_RELEASE = "There was no release with these tables. Stop web and workers before you upgrade."
accepted = dict.fromkeys(
    ("ban-drop-column", "ban-drop-table", "large-write"),
    _NO_RELEASE,
)

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
PENDING = sa.text("state = 'pending'")
PAGE = 1000
TYPE = "purchase.state_changed"
# The new tables have the names of the old ones, and SQLite deletes attempts with their deliveries.
REBUILT = ("delivery_attempt", "webhook_delivery", "webhook_secret")
STATES = {
    "create_constraint": True,
    "length": 20,
    "name": "state",
    "native_enum": False,
}
DELIVERY = ("id", "webhook_id", "request_id", "state", "tries")
DELIVERY_TIMES = ("next_attempt_at", "created_at", "ended_at")


def upgrade() -> None:
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("regional_office_id", BIG_ID, nullable=False),
        sa.Column("url", sa.String(2000)),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("failing_since", TIME),
        _foreign_key("webhook_endpoint", "regional_office_id", "regional_office", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_webhook_endpoint_regional_office_id",
        "webhook_endpoint",
        ["regional_office_id"],
        unique=True,
    )
    op.execute(
        "INSERT INTO webhook_endpoint (id, regional_office_id, url, enabled, failing_since)"
        " SELECT id, id, webhook_url, webhook_enabled, failing_since FROM regional_office"
    )
    _set_aside()
    _create_secret("endpoint_id", "webhook_endpoint", "encrypted")
    _create_delivery(
        sa.Column("endpoint_id", BIG_ID, nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("subject", sa.String(100), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        _foreign_key("webhook_delivery", "endpoint_id", "webhook_endpoint", "RESTRICT"),
        owner="endpoint_id",
        order=("endpoint_id", "subject", "id"),
    )
    _create_attempt()
    op.execute(
        "INSERT INTO webhook_secret (id, endpoint_id, encrypted, created_at, retired_at)"
        " SELECT id, regional_office_id, sealed, created_at, retired_at FROM old_webhook_secret"
    )
    _copy_deliveries(_old_rows, _new_row, ("endpoint_id", "type", "subject", "body"))
    _finish()
    _rename_argument("regional_office_id", "endpoint_id")
    for name in ("webhook_url", "webhook_enabled", "failing_since"):
        op.drop_column("regional_office", name)


def downgrade() -> None:
    op.add_column("regional_office", sa.Column("webhook_url", sa.String(2000)))
    op.add_column(
        "regional_office",
        sa.Column("webhook_enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    op.add_column("regional_office", sa.Column("failing_since", TIME))
    for old, new in (
        ("webhook_url", "url"),
        ("webhook_enabled", "enabled"),
        ("failing_since", "failing_since"),
    ):
        op.execute(
            f"UPDATE regional_office SET {old} = (SELECT {new} FROM webhook_endpoint"  # noqa: S608
            " WHERE regional_office_id = regional_office.id)"
        )
    _set_aside()
    _create_secret("regional_office_id", "regional_office", "sealed")
    _create_delivery(
        sa.Column("regional_office_id", BIG_ID, nullable=False),
        sa.Column("purchase_id", BIG_ID, nullable=False),
        sa.Column("change_id", BIG_ID, nullable=False),
        _foreign_key("webhook_delivery", "regional_office_id", "regional_office", "RESTRICT"),
        _foreign_key("webhook_delivery", "purchase_id", "purchase", "CASCADE"),
        _foreign_key("webhook_delivery", "change_id", "purchase_change", "CASCADE"),
        owner="regional_office_id",
        order=("purchase_id", "id"),
    )
    op.create_index(op.f("ix_webhook_delivery_purchase_id"), "webhook_delivery", ["purchase_id"])
    op.create_index("uq_webhook_delivery_change_id", "webhook_delivery", ["change_id"], unique=True)
    _create_attempt()
    op.execute(
        "INSERT INTO webhook_secret (id, regional_office_id, sealed, created_at, retired_at)"
        " SELECT old.id, endpoint.regional_office_id, old.encrypted, old.created_at, old.retired_at"
        " FROM old_webhook_secret old JOIN webhook_endpoint endpoint ON endpoint.id = endpoint_id"
    )
    _copy_deliveries(_new_rows, _old_row, ("regional_office_id", "purchase_id", "change_id"))
    _finish()
    _rename_argument("endpoint_id", "regional_office_id")
    op.drop_table("webhook_endpoint")
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("regional_office", "webhook_enabled", server_default=None)


def _foreign_key(table: str, column: str, to: str, on_delete: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=name, ondelete=on_delete)


def _create_secret(owner: str, owner_table: str, secret: str) -> None:
    op.create_table(
        "webhook_secret",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column(owner, BIG_ID, nullable=False),
        sa.Column(secret, sa.String(500), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("retired_at", TIME),
        _foreign_key("webhook_secret", owner, owner_table, "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_secret")),
    )
    for column in (owner, "retired_at"):
        op.create_index(op.f(f"ix_webhook_secret_{column}"), "webhook_secret", [column])


def _create_delivery(*parts: Any, owner: str, order: tuple[str, ...]) -> None:
    op.create_table(
        "webhook_delivery",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("webhook_id", sa.String(50), nullable=False),
        *parts,
        sa.Column("request_id", sa.String(128)),
        sa.Column("state", sa.Enum("pending", "succeeded", "failed", **STATES), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (state = 'pending')", name=op.f("ck_webhook_delivery_ended_at")
        ),
        sa.CheckConstraint(
            "next_attempt_at IS NULL OR state = 'pending'",
            name=op.f("ck_webhook_delivery_next_attempt_at"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sqlite_autoincrement=True,
    )
    for columns in ((owner, "id"), (owner, "state", "id"), ("state", "id")):
        name = op.f(f"ix_webhook_delivery_{'_'.join(columns)}")
        op.create_index(name, "webhook_delivery", columns)
    for column in ("created_at", "ended_at"):
        op.create_index(op.f(f"ix_webhook_delivery_{column}"), "webhook_delivery", [column])
    for name, columns in (("due", (owner, "next_attempt_at")), ("pending", order)):
        op.create_index(
            f"ix_webhook_delivery_{name}",
            "webhook_delivery",
            columns,
            sqlite_where=PENDING,
            postgresql_where=PENDING,
        )
    unique = "uq_webhook_delivery_webhook_id"
    op.create_index(unique, "webhook_delivery", ["webhook_id"], unique=True)


def _create_attempt() -> None:
    op.create_table(
        "delivery_attempt",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("delivery_id", BIG_ID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("response", sa.Text()),
        sa.Column("error", sa.String(500)),
        sa.CheckConstraint(
            "(status IS NULL) = (error IS NOT NULL)", name=op.f("ck_delivery_attempt_outcome")
        ),
        _foreign_key("delivery_attempt", "delivery_id", "webhook_delivery", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempt")),
    )
    op.create_index(
        op.f("ix_delivery_attempt_delivery_id_id"), "delivery_attempt", ["delivery_id", "id"]
    )


def _set_aside() -> None:
    """Copy the tables that are rebuilt, and drop them."""
    for table in REBUILT:
        op.execute(f"CREATE TEMPORARY TABLE old_{table} AS SELECT * FROM {table}")  # noqa: S608
        op.drop_table(table)
    # Deliveries are paginated by id.
    op.execute("CREATE UNIQUE INDEX old_webhook_delivery_id ON old_webhook_delivery (id)")


def _finish() -> None:
    """Copy the attempts, continue the sequences of ids, and drop the copies."""
    op.execute("INSERT INTO delivery_attempt SELECT * FROM old_delivery_attempt")
    for table in REBUILT:
        op.execute(f"DROP TABLE old_{table}")
    if op.get_bind().dialect.name == "postgresql":
        for table in (*REBUILT, "webhook_endpoint"):
            op.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id))"  # noqa: S608
                f" FROM {table} HAVING max(id) IS NOT NULL"
            )


def _table(name: str, columns: tuple[str, ...], times: tuple[str, ...] = ()) -> sa.TableClause:
    return sa.table(name, *map(sa.column, columns), *(sa.column(time, TIME) for time in times))


def _copy_deliveries(
    rows: Callable[[], Iterator[Mapping[str, Any]]],
    convert: Callable[[Mapping[str, Any]], dict[str, Any]],
    columns: tuple[str, ...],
) -> None:
    target = _table("webhook_delivery", (*DELIVERY, *columns), DELIVERY_TIMES)
    page: list[dict[str, Any]] = []
    for row in rows():
        kept = {name: row[name] for name in (*DELIVERY, *DELIVERY_TIMES)}
        page.append(kept | convert(row))
        if len(page) == PAGE:
            op.bulk_insert(target, page)
            page = []
    if page:
        op.bulk_insert(target, page)


def _old_rows() -> Iterator[Mapping[str, Any]]:
    """Return a query of the old deliveries, each with its change."""
    own = ("regional_office_id", "purchase_id", "change_id")
    old = _table("old_webhook_delivery", (*DELIVERY, *own), DELIVERY_TIMES)
    change = _table("purchase_change", ("id", "previous_state", "state"), ("at",))
    purchase = _table("purchase", ("id", "external_order_number"))
    statement = (
        sa.select(
            old,
            change.c.previous_state,
            change.c.state.label("new_state"),
            change.c.at,
            purchase.c.external_order_number,
        )
        .join_from(old, change, change.c.id == old.c.change_id)
        .join(purchase, purchase.c.id == old.c.purchase_id)
    )
    yield from _pages(statement, old.c.id)


def _new_row(old: Mapping[str, Any]) -> dict[str, Any]:
    at: datetime = old["at"]
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    event = {
        "type": TYPE,
        "timestamp": at.isoformat().replace("+00:00", "Z"),
        "data": {
            "purchase_id": old["purchase_id"],
            "external_order_number": old["external_order_number"],
            "previous_state": old["previous_state"],
            "state": old["new_state"],
        },
    }
    return {
        "endpoint_id": old["regional_office_id"],
        "type": TYPE,
        "subject": f"purchase:{old['purchase_id']}",
        "body": json.dumps(event, ensure_ascii=False, separators=(",", ":")),
    }


def _new_rows() -> Iterator[Mapping[str, Any]]:
    own = ("endpoint_id", "subject", "body")
    new = _table("old_webhook_delivery", (*DELIVERY, *own), DELIVERY_TIMES)
    endpoint = _table("webhook_endpoint", ("id", "regional_office_id"))
    statement = sa.select(new, endpoint.c.regional_office_id).join_from(
        new, endpoint, endpoint.c.id == new.c.endpoint_id
    )
    yield from _pages(statement, new.c.id)


def _old_row(new: Mapping[str, Any]) -> dict[str, Any]:
    data = json.loads(new["body"])["data"]
    change = _table("purchase_change", ("id", "purchase_id", "state"))
    found = sa.select(change.c.id).where(
        change.c.purchase_id == data["purchase_id"], change.c.state == data["state"]
    )
    return {
        "regional_office_id": new["regional_office_id"],
        "purchase_id": data["purchase_id"],
        "change_id": op.get_bind().execute(found).scalar_one(),
    }


def _pages(statement: Any, key: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a statement, read in pages."""
    last = 0
    while True:
        page = statement.where(key > last).order_by(key).limit(PAGE)
        rows = op.get_bind().execute(page).mappings().all()
        yield from rows
        if len(rows) < PAGE:
            return
        last = rows[-1]["id"]


def _rename_argument(old: str, new: str) -> None:
    """Replace the id in the arguments of active jobs. Each office has at most one such job."""
    job = sa.table(
        "job",
        sa.column("id", sa.Uuid()),
        *map(sa.column, ("kind", "state", "singleton")),
        sa.column("arguments", sa.JSON()),
    )
    endpoint = _table("webhook_endpoint", ("id", "regional_office_id"))
    pairs = op.get_bind().execute(sa.select(endpoint.c.id, endpoint.c.regional_office_id)).all()
    target = {id_: office_id if new == "regional_office_id" else id_ for id_, office_id in pairs}
    active = sa.select(job.c.id, job.c.arguments).where(
        job.c.kind == "webhook_delivery", job.c.state.in_(("queued", "running"))
    )
    jobs = {arguments[old]: id_ for id_, arguments in op.get_bind().execute(active)}
    # An endpoint's id is never greater than its office's: in this order no singleton is duplicated.
    for ident in sorted(jobs, reverse=True):
        target_id = target.get(ident, ident)
        values = {"arguments": {new: target_id}, "singleton": f"webhooks:{target_id}"}
        op.execute(sa.update(job).where(job.c.id == jobs[ident]).values(values))
