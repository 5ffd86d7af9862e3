"""Settings, applications and databases of the tests."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from automart import create_app
from automart.core.config import Settings
from automart.core.db import db


class Client(FlaskClient):
    """A client whose requests do not use the application context of the test, and therefore not
    its database session."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        return contextvars.Context().run(super().open, *args, **kwargs)


_compile_builder = Rule._compile_builder
_builders: dict[Any, Any] = {}


def _compiled_once(rule: Rule, append_unknown: bool = True) -> Any:
    key = (*rule._trace, str(rule.defaults), append_unknown)
    if key not in _builders:
        _builders[key] = _compile_builder(rule, append_unknown)
    return _builders[key]


# Every application has the same routes, and most of the time that it takes to be made goes into the
# functions that build their URLs. They depend on nothing but the route. Werkzeug has no public way
# to replace them.
Rule._compile_builder = _compiled_once

SECRET = "a secret that is known to every reader of the tests"


@contextmanager
def application(settings: Settings) -> Iterator[Flask]:
    """Yield an application. Its connections are closed at the end."""
    app = create_app(settings)
    app.test_client_class = Client
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    app.extensions["redis"].close()


def make_settings(database_url: str, **values: Any) -> Settings:
    """Return the settings of a test: no rate limit, readable logs."""
    defaults: dict[str, Any] = {
        "redis_url": "unix:///nowhere/redis.sock",
        # Required with PostgreSQL. Flask's test client asks this host.
        "public_url": None if database_url.startswith("sqlite") else "http://localhost",
        "secret_key": SECRET,
        "nhtsa_requests_per_second": 0.0,
        "log_format": "console",
    }
    return Settings(database_url=database_url, **defaults | values)


def migrate(database_url: str, instance: Path) -> None:
    app = create_app(make_settings(database_url, instance=instance))
    with app.app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
