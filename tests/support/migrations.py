"""`python -m tests.support.migrations`: checks that the migrations create the tables of the models,
and that the previous release can keep serving.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import flask_migrate
from alembic.script import Script, ScriptDirectory
from flask import current_app

from automart import create_app
from automart.core.db import db
from tests.support import postgresql
from tests.support.locks import BASELINE, dangers, recorded, script
from tests.support.setup import make_settings


def check(database_url: str, instance: Path) -> list[str]:
    """Migrate an empty database and compare. Exits if a migration is missing.

    Return what would disturb a running release. Nothing is checked on SQLite.
    """
    app = create_app(make_settings(database_url, instance=instance))
    with app.app_context():
        found = [danger for migration in _migrations() for danger in _upgrade(migration)]
        flask_migrate.check()
        db.engine.dispose()
    return found


def _migrations() -> Iterator[Script]:
    config = current_app.extensions["migrate"].migrate.get_config()
    yield from reversed(list(ScriptDirectory.from_config(config).walk_revisions()))


def _upgrade(migration: Script) -> list[str]:
    with recorded(db.engine) as statements:
        flask_migrate.upgrade(revision=migration.revision)
    if migration.revision in BASELINE or db.engine.dialect.name != "postgresql":
        return []
    accepted = getattr(migration.module, "accepted", {})
    return [f"{migration.revision}: {danger}" for danger in dangers(script(statements), accepted)]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = check(f"sqlite:///{folder}/check.sqlite", Path(folder))
        try:
            with postgresql.server() as server:
                database = postgresql.create_database(server)
                found += check(database.render_as_string(hide_password=False), Path(folder))
                postgresql.drop_database(server, database)
        except postgresql.Unavailable as reason:
            print(f"Not checked on PostgreSQL: {reason}")
    if found:
        print(*found, "See docs/schema-changes.md for alternatives.", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
