"""Alembic's environment: `flask --app wsgi db …`."""

import warnings
from typing import Any

import click
from alembic import context
from flask import current_app
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from automart.core.db import Model
from automart.core.db_engine import wait_without_limit
from automart.core.db_types import UtcDateTime

# All other transactions queue behind a migration that waits for a lock. It fails instead and can be
# repeated.
LOCK_TIMEOUT = "5s"

database = current_app.extensions["migrate"].db


def render_item(kind: str, item: object, _autogen_context: object) -> str | bool:
    """Name SQLAlchemy's types instead of ours, because migrations outlive the code."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def include_object(
    item: object, _name: str | None, _kind: str, _is_reflected: bool, _other: object
) -> bool:
    """Return whether this database has the object: an index can be limited to one in its `info`."""
    only_on = getattr(item, "info", {}).get("only_on")
    return only_on in (None, context.get_context().dialect.name)


# On SQLite, alembic warns about indexes of PostgreSQL before it calls `include_object`.
warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression-based index")


def is_command(name: str) -> bool:
    """Return whether this is `flask db NAME`, and not a call from the application or a test."""
    command = click.get_current_context(silent=True)
    return command is not None and command.info_name == name


def connect() -> Connection:
    """Connect to the database. If that fails, a command ends with one sentence."""
    try:
        return database.engine.connect()
    except OperationalError as error:
        command = click.get_current_context(silent=True)
        if command is None or command.parent is None or command.parent.info_name != "db":
            raise
        reason = str(error.orig).partition("\n")[0]
        raise click.ClickException(f"The database cannot be used: {reason}") from None


def run() -> None:
    applied: list[str] = []

    def report(*, step: Any, **_: object) -> None:
        applied.append(step.up_revision_id)
        if is_command("upgrade"):
            click.echo(f"{step.up_revision_id}: {step.up_revision.doc}")

    with connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            wait_without_limit(connection)
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Model.metadata,
            # SQLite cannot alter tables, so alembic copies them.
            render_as_batch=connection.dialect.name == "sqlite",
            render_item=render_item,
            include_object=include_object,
            compare_server_default=True,
            transaction_per_migration=True,
            on_version_apply=report,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    if is_command("upgrade") and not applied:
        click.echo("The database already has the newest schema.")


if context.is_offline_mode():
    raise SystemExit(
        "Migrations need a database: constraints differ between SQLite and PostgreSQL."
    )
run()
