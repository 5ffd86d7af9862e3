"""`python -m tests.support.migrations`: do the migrations make what the models say?"""

from __future__ import annotations

import tempfile
from pathlib import Path

import flask_migrate

from automart import create_app
from tests.support import postgresql
from tests.support.setup import make_settings


def check(database_url: str, instance: Path) -> None:
    """Migrate an empty database and compare. Exits if a migration is missing."""
    app = create_app(make_settings(database_url, instance=instance))
    with app.app_context():
        flask_migrate.upgrade()
        flask_migrate.check()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(f"sqlite:///{folder}/check.sqlite", Path(folder))
        try:
            with postgresql.server() as server:
                database = postgresql.create_database(server)
                check(database.render_as_string(hide_password=False), Path(folder))
                postgresql.drop_database(server, database)
        except postgresql.Unavailable as reason:
            print(f"Not checked on PostgreSQL: {reason}")


if __name__ == "__main__":
    main()
