"""What `automart up` shows once it is running: the addresses, and the sync."""

from __future__ import annotations

import http.client
import threading
from urllib.parse import urlsplit

from flask import Flask

from automart.cli.application import close
from automart.cli.console import Screen
from automart.cli.errors import REPORTED, explain
from automart.cli.job_progress import watch
from automart.cli.sync import STEPS, submit_sync
from automart.cli.sync_report import print_outcome
from automart.core.config import Settings

WEB_CHECK_INTERVAL = 0.1
JOIN_SECONDS = 5.0
# The worker has just been started, perhaps on a slow machine.
WORKER_START_SECONDS = 30.0


class Presenter(threading.Thread):
    """Waits until the web responds, prints the addresses, and shows a sync if `sync` is set."""

    def __init__(self, app: Flask, screen: Screen, url: str, *, sync: bool) -> None:
        super().__init__(name="presenter", daemon=True)
        self._app = app
        self._screen = screen
        self._url = url
        self.stop = threading.Event()
        self._wants_sync = sync

    def join(self, timeout: float | None = JOIN_SECONDS) -> None:
        if self.ident is not None:
            super().join(timeout)

    def run(self) -> None:
        while not self._web_responds():
            if self.stop.wait(WEB_CHECK_INTERVAL):
                return
        self._show_addresses()
        if self._wants_sync:
            self._sync()

    def _web_responds(self) -> bool:
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=1)
        try:
            connection.request("GET", "/health/live")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def _show_addresses(self) -> None:
        settings: Settings = self._app.extensions["settings"]
        url = settings.public_url or self._url
        self._screen.message(
            "Automart is running. Press Ctrl-C to stop it.\n"
            f"  API     {url}/v1\n  Docs    {url}/docs\n  Queues  {url}/rq"
        )

    def _sync(self) -> None:
        try:
            with self._app.app_context():
                job = submit_sync(self._screen)
                job = watch(
                    job.id,
                    self._screen,
                    STEPS,
                    stop=self.stop,
                    worker_expected_within=WORKER_START_SECONDS,
                )
        except REPORTED as error:
            self._screen.message(f"The sync cannot be shown: {explain(error)}", style="bold red")
            return
        finally:
            close(self._app)
        if job.state.has_ended:
            print_outcome(self._screen, job)
            self._screen.message("Automart keeps running. Press Ctrl-C to stop it.")
