"""Fixtures of all tests. A test that uses `app` runs once on SQLite and once on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import redis
import structlog
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select
from sqlalchemy.engine import URL

from automart.accounts import passwords
from automart.accounts.models import Client, User
from automart.background import Job, JobState
from automart.catalogue.nhtsa import NhtsaClient
from automart.core.compiled_statement import CompiledStatement
from automart.core.config import Settings
from automart.core.db import db
from automart.partners.models import Manufacturer, RegionalOffice
from jobs import runner
from jobs.context import stopping
from sandbox.catalogue import Catalogue
from sandbox.office import Offices
from sandbox.vpic import Vpic
from tests.support import people, postgresql, purchases
from tests.support.emptying import SharedDatabase, may_be_emptied
from tests.support.limits import lengthen_product_limits
from tests.support.memory import MEMORY
from tests.support.redis_server import RedisServer
from tests.support.setup import application, make_settings, migrate

# Coverage is measured once: it makes a test take half as long again.
DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.no_cover))

SAMPLE = Catalogue.sample()

lengthen_product_limits()

# One hash at the recommended cost takes as long as five requests.
passwords._hasher = people.CHEAP_HASHER


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis of this test process."""
    with RedisServer(keeps_data=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_clients() -> Iterator[Callable[[str], redis.Redis]]:
    """Returns a client of the Redis with this URL. It is closed at the end of the run."""
    with ExitStack() as stack:
        yield cache(lambda url: stack.enter_context(redis.Redis.from_url(url)))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite database, to be copied."""
    if "SQLITE_TEMPLATE" in os.environ:  # of `make mutation`, which runs pytest for each mutant
        return Path(os.environ["SQLITE_TEMPLATE"])
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
    if "POSTGRESQL_TEMPLATE" in os.environ:  # of `make mutation`
        yield postgresql_server.set(database=os.environ["POSTGRESQL_TEMPLATE"])
        return
    database = postgresql.create_database(postgresql_server)
    migrate(database.render_as_string(hide_password=False), tmp_path_factory.mktemp("postgresql"))
    yield database
    postgresql.drop_database(postgresql_server, database)


@pytest.fixture(scope="session")
def postgresql_shared(
    postgresql_server: URL, postgresql_template: URL
) -> Iterator[SharedDatabase | None]:
    """A database of this test process, emptied before each test. None where that is not allowed."""
    if not may_be_emptied(postgresql_server):
        yield None
        return
    database = SharedDatabase(postgresql_server, postgresql_template)
    yield database
    database.drop()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of this test alone."""
    if request.param == "sqlite":
        with tempfile.TemporaryDirectory(prefix="automart-test-", dir=MEMORY) as folder:
            path = Path(folder) / "automart.sqlite"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            yield f"sqlite:///{path}"
        return
    shared: SharedDatabase | None = request.getfixturevalue("postgresql_shared")
    if shared is not None:
        yield shared.fresh().render_as_string(hide_password=False)
        return
    server: URL = request.getfixturevalue("postgresql_server")
    template: URL = request.getfixturevalue("postgresql_template")
    database = postgresql.create_database(server, template=str(template.database))
    yield database.render_as_string(hide_password=False)
    postgresql.drop_database(server, database)


@pytest.fixture
def vpic() -> Iterator[Vpic]:
    """A vPIC with the sandbox's sample data. It behaves until it is ordered otherwise."""
    with Vpic(data=SAMPLE) as server:
        yield server


@pytest.fixture
def offices() -> Iterator[Offices]:
    """Offices that receive webhooks. They behave until they are ordered otherwise."""
    with Offices() as server:
        yield server


@pytest.fixture
def settings(
    database_url: str,
    redis_url: str,
    redis_clients: Callable[[str], redis.Redis],
    vpic: Vpic,
    tmp_path: Path,
) -> Settings:
    redis_clients(redis_url).flushall()
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
def make_user(app: Flask) -> Callable[..., User]:
    """Makes users: `make_user(is_admin=True, name="Ann", password="…")`."""
    return people.make_user


@pytest.fixture
def make_client(app: Flask) -> Callable[..., Client]:
    """Makes service clients: `make_client("catalogue", "metrics")`, with these scopes."""
    return people.make_client


@pytest.fixture
def signed_in(app: Flask) -> Callable[[User | Client], FlaskClient]:
    """Answers a test client that sends a good bearer token of this user or service client."""
    return lambda who: people.signed_in(app, who)


@pytest.fixture
def as_user(app: Flask) -> FlaskClient:
    """A test client whose requests a user without any rights sends."""
    return people.signed_in(app, people.make_user())


@pytest.fixture
def as_admin(app: Flask) -> FlaskClient:
    """A test client whose requests an administrator sends."""
    return people.signed_in(app, people.make_user(is_admin=True))


@pytest.fixture
def as_catalogue(app: Flask) -> FlaskClient:
    """A test client whose requests a service client with the scope `catalogue` sends."""
    return people.signed_in(app, people.make_client("catalogue"))


@pytest.fixture
def as_office(app: Flask) -> Callable[[RegionalOffice], FlaskClient]:
    """Answers a test client whose requests the systems of this office send."""
    return lambda office: people.signed_in(app, purchases.client_of(office))


@pytest.fixture
def as_manufacturer(app: Flask) -> Callable[[Manufacturer], FlaskClient]:
    """Answers a test client whose requests the systems of this manufacturer send."""
    return lambda manufacturer: people.signed_in(app, purchases.client_of(manufacturer))


@pytest.fixture
def run_jobs(app: Flask) -> Callable[[], None]:
    """Runs all queued jobs, in this process, as the worker would."""

    def run() -> None:
        db.session.rollback()
        queued = select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.id)
        for job_id in db.session.scalars(queued).all():
            stopping.clear()
            with app.app_context():
                runner.run(str(job_id))
        db.session.rollback()
        db.session.expire_all()

    return run


@pytest.fixture
def when_asked(
    vpic: Vpic, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, Callable[[], Any]], None]:
    """Does something in the middle of a sync: when NHTSA is first asked for a make's models."""

    def plan(make_id: int, action: Callable[[], Any]) -> None:
        models, left = NhtsaClient.models, [action]

        def asked(client: NhtsaClient, asked_id: int) -> dict[int, str]:
            found = models(client, asked_id)
            if asked_id == make_id and left:
                left.pop()()
            return found

        monkeypatch.setattr(NhtsaClient, "models", asked)

    return plan


@pytest.fixture
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands print 120 columns without colours, wherever the tests run."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    # Typer reads the environment when it is imported, and uses colours on GitHub.
    monkeypatch.setattr("typer.rich_utils.FORCE_TERMINAL", None)


@pytest.fixture(autouse=True)
def _go_on() -> Iterator[None]:
    """Let jobs of this process run again, and forget what they have added to lines of the log."""
    yield
    stopping.clear()
    structlog.contextvars.clear_contextvars()


class Queries:
    """The statements that were executed."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    @property
    def count(self) -> int:
        return len(self.statements)


@pytest.fixture
def count_queries(app: Flask) -> Callable[[], AbstractContextManager[Queries]]:
    """Records all statements that this thread executes in a `with` block.

    Another one renews the lease of a job from time to time.
    """

    @contextmanager
    def record() -> Iterator[Queries]:
        queries = Queries()
        thread = threading.get_ident()

        def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if threading.get_ident() == thread:
                queries.statements.append(statement)

        fetch = CompiledStatement.fetch

        def noted(query: CompiledStatement, *args: Any) -> list[Any]:
            if threading.get_ident() == thread:
                queries.statements.append(str(query.statement))
            return fetch(query, *args)

        event.listen(db.engine, "before_cursor_execute", note)
        try:
            with patch.object(CompiledStatement, "fetch", noted):
                yield queries
        finally:
            event.remove(db.engine, "before_cursor_execute", note)

    return record
