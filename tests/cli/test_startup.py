"""What `automart up` does before and after it starts its processes."""

from __future__ import annotations

import errno
import io
import re
import threading
from collections.abc import Iterator

import pytest
import typer
from flask import Flask
from werkzeug import Request, Response
from werkzeug.serving import make_server

from automart.accounts.models import User
from automart.background import JobState
from automart.catalogue.models import VehicleMake
from automart.catalogue.service import start_sync
from automart.cli import job_progress
from automart.cli.bootstrap import prepare
from automart.cli.console import Screen
from automart.cli.startup import Presenter
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.customers.models import Customer
from automart.inventory.models import Dealer
from tests.support.databases import on_sqlite
from tests.support.limits import LIMIT
from tests.support.ports import free_port
from tests.support.setup import application
from tests.support.sync import add_models, the_job

HONDA = 474


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(printed: io.StringIO) -> Screen:
    return Screen(file=printed, width=100)


@pytest.fixture
def asked() -> list[str]:
    """The paths of requests to the web."""
    return []


@pytest.fixture
def web(asked: list[str]) -> Iterator[str]:
    """The address of a server in place of the web."""

    @Request.application
    def respond(request: Request) -> Response:
        asked.append(request.path)
        return Response()

    with make_server("127.0.0.1", 0, respond) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.port}"
        server.shutdown()
        thread.join()


def addresses(url: str) -> str:
    return f"""\
Automart is running. Press Ctrl-C to stop it.
  API     {url}/v1
  Docs    {url}/docs
  Queues  {url}/rq
"""


class TestPrepare:
    @on_sqlite
    def test_a_new_database_gets_samples_and_an_administrator_once(
        self, app: Flask, screen: Screen, printed: io.StringIO
    ) -> None:
        prepare(app, screen)
        assert re.fullmatch(
            r"""The database is new\. Added eleven makes and sample data\.
Added an administrator\. The password is not shown again:
  E-mail    admin@localhost
  Password  \S{16}
""",
            printed.getvalue(),
        )
        models = (User, VehicleMake, Customer, Dealer)
        counts = [db.session.query(model).count() for model in models]
        assert counts[:2] == [1, 11]
        assert all(counts)

        before = printed.getvalue()
        db.session.rollback()  # `prepare` closes only connections that nobody uses
        prepare(app, screen)
        assert printed.getvalue() == before
        assert [db.session.query(model).count() for model in models] == counts

    @on_sqlite
    def test_an_administrator_whose_password_cannot_be_shown_is_not_added(
        self, app: Flask, screen: Screen, printed: io.StringIO
    ) -> None:
        class FullDisk(io.StringIO):
            def write(self, text: str) -> int:
                if "Password" in text:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(text)

        with pytest.raises(OSError, match="No space left on device"):
            prepare(app, Screen(file=FullDisk(), width=100))
        screen.quiet = True  # as after a broken pipe
        with pytest.raises(typer.Exit):
            prepare(app, screen)
        assert db.session.query(User).count() == 0
        db.session.rollback()
        screen.quiet = False
        prepare(app, screen)
        assert printed.getvalue().startswith("Added an administrator.")
        assert db.session.query(User).count() == 1


class TestPresenter:
    @pytest.fixture
    def own_app(self, app: Flask, settings: Settings) -> Iterator[Flask]:
        """The presenter's application: it closes the connections, which others may be using."""
        with application(settings) as own_app:
            yield own_app

    def test_the_addresses_are_shown_when_the_web_responds(
        self,
        own_app: Flask,
        settings: Settings,
        screen: Screen,
        printed: io.StringIO,
        web: str,
        asked: list[str],
    ) -> None:
        presenter = Presenter(own_app, screen, web, sync=False)
        presenter.start()
        presenter.join(LIMIT)
        assert printed.getvalue() == addresses(settings.public_url or web)
        assert set(asked) == {"/health/live"}

    def test_nothing_is_shown_if_the_web_never_responds(
        self, own_app: Flask, screen: Screen, printed: io.StringIO
    ) -> None:
        presenter = Presenter(own_app, screen, f"http://127.0.0.1:{free_port()}", sync=True)
        presenter.join(LIMIT)  # it has not been started
        presenter.stop.set()
        presenter.start()
        presenter.join(LIMIT)
        assert not presenter.is_alive()
        assert printed.getvalue() == ""

    @on_sqlite
    @pytest.mark.usefixtures("worker")
    def test_a_sync_is_shown_to_its_end(
        self,
        own_app: Flask,
        screen: Screen,
        printed: io.StringIO,
        web: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(job_progress, "POLL_INTERVAL", 0.01)
        add_models({HONDA: {}})
        presenter = Presenter(own_app, screen, web, sync=True)
        presenter.start()
        presenter.join(LIMIT)
        shown = printed.getvalue()
        assert shown.startswith(f"{addresses(web)}Sync submitted: job ")
        assert shown.endswith(
            "1 make: 1 updated, 0 unchanged, 0 held, 0 failed.\n"
            "Automart keeps running. Press Ctrl-C to stop it.\n"
        )

    @on_sqlite
    def test_a_sync_that_cannot_be_shown_is_explained(
        self, own_app: Flask, screen: Screen, printed: io.StringIO, web: str
    ) -> None:
        add_models({HONDA: {}})
        with transaction():
            running = start_sync([HONDA], approve_deletions=False)
        presenter = Presenter(own_app, screen, web, sync=True)
        presenter.start()
        presenter.join(LIMIT)
        assert printed.getvalue() == (
            f"{addresses(web)}The sync cannot be shown: Another sync is queued or running. Wait for"
            f" its end, or cancel it. It is job {running.id}: POST /jobs/{running.id}/cancel\n"
        )

    @on_sqlite
    def test_a_sync_goes_on_when_nobody_watches_it(
        self, own_app: Flask, screen: Screen, printed: io.StringIO, web: str
    ) -> None:
        add_models({HONDA: {}})
        presenter = Presenter(own_app, screen, web, sync=True)
        presenter.stop.set()
        presenter.start()
        presenter.join(LIMIT)
        assert printed.getvalue().endswith("\nqueued\n")
        assert the_job().state is JobState.QUEUED
