"""Requests per second, p99 and memory of one web process beside a plain FastAPI service.

Authenticated reads, lists and changes of customers over 16 connections, with the same database and
durability. Both are started as deployed; the client is a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import requests

from automart.core.config import Settings
from automart.core.db import transaction
from automart.customers.service import create_customers
from benchmarks.comparison import Comparison, Size, alternately
from benchmarks.load import Load, Result, run
from benchmarks.support import ROOT, databases, serving_redis
from tests.support.client_tools import installed_packages
from tests.support.people import make_user, token_of
from tests.support.ports import free_port
from tests.support.processes import environment, until
from tests.support.setup import application, make_settings

CUSTOMERS = 10_000
CONNECTIONS = 16
REFERENCES = Path(__file__).parent / "references"
FASTAPI = "plain FastAPI, uvicorn"


@dataclass(frozen=True)
class Server:
    """A program that serves Automart, and how many times the reference's rate is its aim."""

    name: str
    command: Sequence[str]
    aim: float


SERVERS = (Server("gunicorn", ("gunicorn", "wsgi:app", "--config", f"{ROOT}/gunicorn.conf.py"), 1),)


@dataclass(frozen=True)
class Call:
    """A request that is sent over and over: `%(row)d` is the id of a customer."""

    what: str
    method: str
    path: str
    body: str = ""

    def template(self, token: str) -> str:
        # Numbers of one length, so that the length of the body is always the same.
        length = len(self.body % {"number": 10**12}) if self.body else 0
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"Authorization: Bearer {token}", "Accept: application/json"]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {length}"]
        return "\r\n".join([*lines, "", self.body])


CALLS = (
    Call("read a customer", "GET", "/v1/customers/%(row)d"),
    Call("list of 50 customers", "GET", "/v1/customers?limit=50"),
    Call("change a customer", "PATCH", "/v1/customers/%(row)d", '{"first_name":"N%(number)013d"}'),
)


@dataclass(frozen=True)
class Web:
    """A web that is running, with its port and a token for it."""

    process: psutil.Process
    port: int
    token: str

    def measure(self, call: Call, seconds: float) -> Result:
        template = call.template(self.token)
        return run(Load(self.port, template, CUSTOMERS, CONNECTIONS, seconds))

    def megabytes(self) -> float:
        """Return the memory of the process that serves: a child, or the process itself."""
        found = self.process.children() or [self.process]
        return max(each.memory_info().rss for each in found) / 1e6


def compare(size: Size) -> Iterator[Comparison]:
    python = installed_packages("bench", ROOT / "requirements" / "bench.txt") / "bin"
    with (
        tempfile.TemporaryDirectory() as folder,
        serving_redis(Path(folder)) as redis_url,
        databases(size.database) as found,
    ):
        for database, url in found:
            settings = make_settings(url, redis_url=redis_url, instance=Path(folder))
            token = _fill(settings)
            with _reference(settings, python) as reference:
                for server in SERVERS:
                    with automart_running(settings, server, token) as web:
                        yield from _comparisons(database, server, web, reference, size)


def _comparisons(
    database: str, server: Server, web: Web, reference: Web, size: Size
) -> Iterator[Comparison]:
    for call in CALLS:
        pairs = alternately(
            partial(web.measure, call, size.seconds),
            partial(reference.measure, call, size.seconds),
            size.rounds,
        )
        what = f"{call.what}, {server.name}"
        rates = [(ours.per_second, others.per_second) for ours, others in pairs]
        yield Comparison(what, database, FASTAPI, "/s", server.aim, rates)
        p99 = [(ours.p99_ms, others.p99_ms) for ours, others in pairs]
        yield Comparison(f"{what}, p99", database, FASTAPI, "ms", 1, p99, less_is_better=True)
    memory = [(web.megabytes(), reference.megabytes())]
    what = f"memory of a process, {server.name}"
    yield Comparison(what, database, FASTAPI, "MB", None, memory, less_is_better=True)


@contextmanager
def automart_running(
    settings: Settings, server: Server, token: str = "", **env: str
) -> Iterator[Web]:
    """Run one web process as deployed. `env` are further variables of its environment."""
    port = free_port()
    defaults = {"LOG_FORMAT": "json", "PORT": str(port), "WEB_CONCURRENCY": "1"}
    env = environment(settings) | defaults | env
    program = Path(sys.executable).parent / server.command[0]
    command = [str(program), *server.command[1:]]
    with _running(command, env, settings.instance, port, "/health/live") as process:
        yield Web(process, port, token)


@contextmanager
def _reference(settings: Settings, python: Path) -> Iterator[Web]:
    """Run the plain service on the same server of the database, or on a file of its own."""
    port = free_port()
    url = settings.database_url + (".plain" if settings.is_sqlite else "")
    env = {"PATH": os.environ["PATH"], "DATABASE_URL": url}
    fill = [python / "python", REFERENCES / "plain_service.py", str(CUSTOMERS)]
    token = subprocess.check_output(fill, env=env, text=True).strip()
    command = [str(python / "uvicorn"), "plain_service:app", "--port", str(port)]
    command.append("--no-access-log")
    with _running(command, env, REFERENCES, port, "/docs") as process:
        yield Web(process, port, token)


@contextmanager
def _running(
    command: Sequence[str], env: Mapping[str, str], folder: Path, port: int, path: str
) -> Iterator[psutil.Process]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)
        try:
            until(partial(_answers, process, f"http://127.0.0.1:{port}{path}"))
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"{process.args!r} ended with status {process.returncode}.")
    try:
        return requests.get(url, timeout=60).ok
    except requests.ConnectionError:
        time.sleep(0.1)
        return False


def _fill(settings: Settings) -> str:
    """Add the customers that the reference has, and a user. Return a token of the user."""
    rows = [
        {"first_name": f"First{n}", "last_name": f"Last{n}", "email": f"c{n}@example.com"}
        for n in range(1, CUSTOMERS + 1)
    ]
    with application(settings) as app, app.app_context():
        user = make_user()
        with transaction():
            create_customers(rows, user.id)
        return token_of(app, user)
