"""The deployed web, gunicorn with several processes, and simultaneous callers."""

from __future__ import annotations

import socket
import time
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
from tests.support.processes import environment

T = TypeVar("T")
CONFIG = ROOT / "gunicorn.conf.py"


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

    `patch` is Python code that runs first.
    """
    port = _free_port()
    log = settings.instance / "web.log"
    web = Fork(
        "gunicorn",
        [
            "wsgi:app",
            "--bind",
            f"127.0.0.1:{port}",
            "--config",
            str(ROOT / "gunicorn.conf.py"),
            *list(options),
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
    """Yield the URL of a gunicorn that serves the application over connections that stay open."""
    options = ["--workers", str(processes), "--threads", str(threads), "--timeout", "120"]
    # A connection that is closed for idleness just when it is used again would look like an error.
    with gunicorn_running(settings, *options, "--keep-alive", "120", "--preload") as gunicorn:
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
            return lambda: session.request(method, self._url + path, json=body, timeout=120)

        return at_once([caller(number) for number in range(len(asked))])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, web: Fork, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and web.poll() is None:
        try:
            if requests.get(f"{url}/health/live", timeout=10).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)
    raise AssertionError(f"gunicorn did not start:\n{log.read_text()}")
