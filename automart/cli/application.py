"""The application context of a command."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import flask_migrate
from flask import Flask

from automart import create_app
from automart.cli.errors import CommandError
from automart.core import schema_version
from automart.core.config import PRIVATE_UMASK, Settings
from automart.core.db import db


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Flask]:
    """Enter an application context. `settings` default to the environment."""
    umask = os.umask(PRIVATE_UMASK)
    app = create_app(settings or Settings.from_environment(log_format="console"))
    try:
        with app.app_context(), _quiet("automart"):
            yield app
    finally:
        close(app)
        os.umask(umask)


def close(app: Flask) -> None:
    """Close the connections of `app`."""
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    app.extensions["redis"].close()


def upgrade_database() -> None:
    """Upgrade the database of the current application to the newest schema."""
    flask_migrate.upgrade()


def check_schema() -> None:
    """Raise `CommandError` unless this release can run with the schema of the database."""
    try:
        with db.engine.connect() as connection:
            schema_version.require_schema(connection)
    except schema_version.SchemaTooOld as error:
        raise CommandError(str(error)) from None


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Log errors only: a command prints the rest itself, which web and workers log."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
