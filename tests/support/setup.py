"""Settings, applications and databases of the tests."""

from __future__ import annotations

import contextvars
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy import event
from sqlalchemy.engine import Dialect, Engine
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from automart import create_app
from automart.core.config import Settings
from automart.core.db import db
from automart.web.openapi import Api


class Client(FlaskClient):
    """A client whose requests do not use the application context of the test, and therefore not
    its database session."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        return contextvars.Context().run(super().open, *args, **kwargs)


_compile = Rule.compile
_compiled: dict[Any, tuple[dict[str, Any], dict[str, Any]]] = {}


def _compile_once(rule: Rule) -> None:
    key = (rule.rule, rule.subdomain, rule.host, rule.merge_slashes, str(rule.defaults))
    if key not in _compiled:
        _compile(rule)
        names = ("_parts", "_trace", "_converters", "arguments")
        builders = {name: vars(rule)[name].__func__ for name in ("_build", "_build_unknown")}
        _compiled[key] = {name: vars(rule)[name] for name in names}, builders
        return
    values, builders = _compiled[key]
    vars(rule).update(values)
    vars(rule).update({name: builder.__get__(rule) for name, builder in builders.items()})


# Every application has the same routes, and most of the time that it takes to be made goes into
# compiling them. Werkzeug has no public way to replace that.
Rule.compile = _compile_once

_document = Api.document
_documents: list[dict[str, Any]] = []


def _build_once(api: Api) -> dict[str, Any]:
    if not _documents:
        _documents.append(_document(api))
    return _documents[0]


def forget_document() -> None:
    """Build the document again at the next request for it."""
    _documents.clear()


# It is also the same in every application. mypy allows no method to be replaced.
Api.document = _build_once  # type: ignore[method-assign]

_dialects: dict[str, Dialect] = {}
_statements: dict[Any, Any] = {}


def _share_statements(engine: Engine) -> None:
    """Let `engine` use what earlier applications have compiled, which is kept by dialect."""
    shared = _dialects.get(engine.name)
    if shared is not None:
        engine.dialect = engine.pool._dialect = shared
    else:  # A dialect reads the properties of the server with its first connection.
        event.listen(
            engine, "connect", lambda *_: _dialects.setdefault(engine.name, engine.dialect)
        )
    engine.update_execution_options(compiled_cache=_statements)


class _Templates(BytecodeCache):
    """The compiled templates of this process."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.load_bytecode(io.BytesIO(self._kept[bucket.key]))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


_templates = _Templates()

SECRET = "a secret that is known to every reader of the tests"


@contextmanager
def application(settings: Settings) -> Iterator[Flask]:
    """Yield an application. Its connections are closed at the end."""
    app = create_app(settings)
    app.test_client_class = Client
    app.jinja_options = {**app.jinja_options, "bytecode_cache": _templates}
    with app.app_context():
        _share_statements(db.engine)
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
