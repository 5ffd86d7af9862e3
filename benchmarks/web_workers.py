"""Kinds of gunicorn workers: their speed, alone and beside 200 slow clients.

`python -m benchmarks.web_workers [SECONDS]`; gevent is measured if it is installed.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from automart.catalogue.seed import add_samples
from automart.core.db import transaction
from tests.support import people, postgresql
from tests.support.ports import free_port
from tests.support.programs import ROOT, clean_environment
from tests.support.setup import SECRET, application, make_settings, migrate

KINDS = {
    "gthread, 24 threads": ["gthread", "--threads", "24"],
    "gthread, 128 threads": ["gthread", "--threads", "128"],
    "gevent": ["gevent"],
}
CLIENTS = 16
SLOW_CLIENTS = 200
PATIENCE = 5.0


@dataclass
class Tally:
    """The responses that the clients received."""

    seconds: float
    milliseconds: list[float]
    failed: int

    def __str__(self) -> str:
        if not self.milliseconds:
            return f"nothing was answered, {self.failed} failed"
        slowest = statistics.quantiles(self.milliseconds, n=100)[98]
        return (
            f"{len(self.milliseconds) / self.seconds:6.0f}/s, median"
            f" {statistics.median(self.milliseconds):5.1f} ms, p99 {slowest:6.1f} ms,"
            f" {self.failed} failed"
        )


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Yield the URL of a database of each kind, by name."""
    with tempfile.TemporaryDirectory() as folder, postgresql.server(carefree=False) as server:
        made = postgresql.create_database(server)
        yield {
            "SQLite": f"sqlite:///{folder}/automart.sqlite",
            "PostgreSQL": made.render_as_string(hide_password=False),
        }
        postgresql.drop_database(server, made)


def prepared(url: str, folder: Path) -> str:
    """Add the sample makes and a user. Return a token of the user."""
    migrate(url, folder)
    with application(make_settings(url, instance=folder)) as app, app.app_context():
        with transaction():
            add_samples()
        return people.token_of(app, people.make_user())


@contextmanager
def web(kind: list[str], url: str, folder: Path) -> Iterator[int]:
    """Run gunicorn with two processes. Yield its port."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{port}"]
    command += ["--config", str(ROOT / "gunicorn.conf.py"), "--workers", "2", "--worker-class"]
    env = clean_environment() | {"DATABASE_URL": url, "SECRET_KEY": SECRET}
    env["PUBLIC_URL"] = make_settings(url, instance=folder).public_url or ""
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path[1:]])
    with (folder / "web.log").open("ab") as log:
        process = subprocess.Popen([*command, *kind], env=env, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=60)


def load(port: int, token: str, clients: int, seconds: float) -> Tally:
    """Send requests from `clients` connections for some seconds. Return the responses."""
    tally = Tally(seconds, [], 0)
    deadline = time.monotonic() + seconds

    def ask() -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Authorization"] = f"Bearer {token}"
            while time.monotonic() < deadline:
                started = time.monotonic()
                try:
                    session.get(f"http://127.0.0.1:{port}/v1/makes", timeout=PATIENCE)
                except requests.RequestException:
                    tally.failed += 1
                else:
                    tally.milliseconds.append((time.monotonic() - started) * 1000)

    in_threads(ask, clients)
    return tally


@contextmanager
def slow_clients(port: int, token: str, count: int) -> Iterator[None]:
    """Run clients that announce a body and send a byte of it from time to time."""
    head = (
        "POST /v1/customers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 5000\r\n\r\n"
    )
    stop = threading.Event()
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)
        ]
        for each in sockets:
            each.sendall(head.encode())

        def drip() -> None:
            while not stop.wait(1):
                for each in sockets:
                    each.sendall(b" ")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            time.sleep(1)
            yield
        finally:
            stop.set()
            dripping.join()


def in_threads(call: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            requests.get(f"http://127.0.0.1:{port}/health/live", timeout=PATIENCE)
        except requests.RequestException:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("gunicorn did not start")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    with databases() as urls:
        for database, url in urls.items():
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                token = prepared(url, folder)
                for kind, arguments in KINDS.items():
                    if kind == "gevent" and importlib.util.find_spec("gevent") is None:
                        continue
                    with web(arguments, url, folder) as port:
                        load(port, token, CLIENTS, 1)
                        print(f"{database}, {kind}")
                        print(f"  alone         {load(port, token, CLIENTS, seconds)}")
                        with slow_clients(port, token, SLOW_CLIENTS):
                            print(f"  beside slow   {load(port, token, 4, seconds)}", flush=True)


if __name__ == "__main__":
    main()
