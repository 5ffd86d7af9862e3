"""Web processes are replaced under load without a failed request."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from automart.core.config import Settings
from tests.support.limits import LIMIT
from tests.support.processes import until
from tests.support.setup import make_settings, migrate
from tests.support.web import Gunicorn, gunicorn_running

pytestmark = pytest.mark.processes

CALLERS = 6


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = make_settings(f"sqlite:///{tmp_path}/automart.sqlite", instance=tmp_path)
    migrate(settings.database_url, tmp_path)
    return settings


@contextmanager
def callers(url: str) -> Iterator[Counter[int | str]]:
    """Count the responses to clients that send requests until the end of the context."""
    seen: Counter[int | str] = Counter()
    lock = threading.Lock()
    enough = threading.Event()

    def ask() -> int | str:
        try:
            return requests.get(url, timeout=LIMIT).status_code
        except requests.RequestException as error:
            return repr(error)

    def ask_again_and_again() -> None:
        while not enough.is_set():
            answer = ask()
            with lock:
                seen[answer] += 1

    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(ask_again_and_again) for _ in range(CALLERS)]
        try:
            yield seen
        finally:
            enough.set()
    for future in futures:
        future.result()


def reload(gunicorn: Gunicorn) -> None:
    before = gunicorn.workers()
    gunicorn.master.send_signal(signal.SIGHUP)
    until(lambda: len(gunicorn.workers()) == 2 and not before & gunicorn.workers())


def test_a_reload_under_load_fails_no_request(settings: Settings) -> None:
    with gunicorn_running(settings) as gunicorn, callers(f"{gunicorn.url}/health/live") as seen:
        for _ in range(2):
            reload(gunicorn)
    assert set(seen) == {200}


def test_processes_that_have_reached_their_limit_are_replaced(settings: Settings) -> None:
    few = ("--max-requests", "100", "--max-requests-jitter", "20")
    with gunicorn_running(settings, *few) as gunicorn:
        first = gunicorn.workers()
        with callers(f"{gunicorn.url}/health/live") as seen:
            until(lambda: seen.total() > 600 and not first & gunicorn.workers())
    assert set(seen) == {200}
