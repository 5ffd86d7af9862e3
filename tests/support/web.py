"""The deployed web, gunicorn with several processes, and simultaneous callers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import psutil
import requests

from automart.core.config import Settings
from tests.support.forks import ROOT, Fork
from tests.support.limits import LIMIT
from tests.support.ports import free_port
from tests.support.processes import environment, until

T = TypeVar("T")
CONFIG = ROOT / "gunicorn.conf.py"
LONG_LIMITS = "from tests.support import limits\nlimits.lengthen_product_limits()\n"


@dataclass
class Gunicorn:
    """A running gunicorn."""

    url: str
    master: psutil.Process

    def workers(self) -> set[int]:
        """Return the processes that serve."""
        return {process.pid for process in self.master.children()}


@contextmanager
def gunicorn_running(settings: Settings, *options: str, patch: str = "") -> Iterator[Gunicorn]:
    """Yield a gunicorn with our settings and `options`. Its log is `web.log` in the instance.

    `patch` is Python code that runs first. Gunicorn does not replace processes that are slow.
    """
    port = free_port()
    log = settings.instance / "web.log"
    web = Fork(
        "gunicorn",
        [
            "wsgi:app",
            "--bind",
            f"127.0.0.1:{port}",
            "--config",
            str(ROOT / "gunicorn.conf.py"),
            "--timeout",
            f"{LIMIT:.0f}",
            *options,
        ],
        env=environment(settings),
        folder=settings.instance,
        log=log,
        patch=patch,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, web, log)
        yield Gunicorn(url, psutil.Process(web.pid))
    finally:
        web.terminate()
        web.wait()


@contextmanager
def web_running(settings: Settings, *, processes: int = 4, threads: int = 16) -> Iterator[str]:
    """Yield the URL of a gunicorn that serves the application over connections that stay open.

    Its requests wait for each other as long as those in a test process.
    """
    options = ["--workers", str(processes), "--threads", str(threads)]
    # A connection that is closed for idleness just when it is used again would look like an error.
    options += ["--keep-alive", f"{LIMIT:.0f}", "--preload"]
    with gunicorn_running(settings, *options, patch=LONG_LIMITS) as gunicorn:
        yield gunicorn.url


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make the calls at the same moment, each in its own thread. Return their results."""
    barrier = Barrier(len(calls))

    def call(each: Callable[[], T]) -> T:
        barrier.wait()
        return each()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


class Callers:
    """Clients of a running web, each with its own connection that is kept open."""

    def __init__(self, url: str, token: str, count: int) -> None:
        self._url = url
        self._sessions = [requests.Session() for _ in range(count)]
        for session in self._sessions:
            session.headers["Authorization"] = f"Bearer {token}"
            session.trust_env = False

    def __enter__(self) -> Callers:
        return self

    def __exit__(self, *_error: object) -> None:
        for session in self._sessions:
            session.close()

    def send(self, *asked: tuple[str, str, Any]) -> list[requests.Response]:
        """Send requests (method, path, body) at once. Return the responses in the same order."""

        def caller(number: int) -> Callable[[], requests.Response]:
            method, path, body = asked[number]
            session = self._sessions[number]
            return lambda: session.request(method, self._url + path, json=body, timeout=LIMIT)

        return at_once([caller(number) for number in range(len(asked))])


def _wait_for(url: str, web: Fork, log: Path) -> None:
    def responds() -> bool:
        try:
            return requests.get(f"{url}/health/live", timeout=LIMIT).ok
        except requests.ConnectionError:
            return False

    until(lambda: web.poll() is not None or responds())
    assert web.poll() is None, f"gunicorn did not start:\n{log.read_text()}"
