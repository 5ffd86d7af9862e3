"""Sales per second from the request to the purchase, beside RQ's bare enqueue-and-perform.

One web process and one worker process, both at work at the same time, with full durability. The
reference enqueues jobs that do nothing while RQ's SimpleWorker, which does not fork, performs them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import redis
import rq
from sqlalchemy import func, select

from automart.background import Job, JobState
from automart.core.db import db
from automart.purchases.models import Purchase
from benchmarks.comparison import Comparison, Size, alternately
from benchmarks.support import databases, serving_redis
from benchmarks.writes import Sender
from tests.support.people import token_of
from tests.support.processes import until, worker_running
from tests.support.purchases import client_of, ensure_catalogue, make_office, sale
from tests.support.setup import application, make_settings
from tests.support.web import web_running

BARE = (
    "import sys, redis, rq;"
    " rq.SimpleWorker(['bare'], connection=redis.Redis.from_url(sys.argv[1])).work()"
)


def compare(size: Size) -> Iterator[Comparison]:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving_redis(Path(folder)) as url,
        databases(size.database) as found,
    ):
        for name, database_url in found:
            settings = make_settings(database_url, redis_url=url, instance=Path(folder))
            with application(settings) as app, app.app_context():
                ensure_catalogue()
                token = token_of(app, client_of(make_office()))
                db.session.remove()
                sender = Sender(
                    "/v1/sales-webhook", token, 202, lambda number: sale(f"order {number}")
                )
                with (
                    web_running(settings, processes=1) as web,
                    worker_running(settings, "short"),
                ):
                    pairs = alternately(
                        partial(_recorded, sender, web, size.jobs),
                        partial(bare_rq, url, size.jobs),
                        size.rounds,
                    )
            yield Comparison(
                "sales, submitted to written", name, "bare RQ, SimpleWorker", "/s", 0.5, pairs
            )


def _recorded(sender: Sender, url: str, count: int) -> float:
    """Send sales. Return how many were recorded per second, and check that all were."""
    before = _purchases()
    began = time.perf_counter()
    sender.rate(url, count)
    until(lambda: not _unwritten(), 600)
    seconds = time.perf_counter() - began
    written = _purchases() - before
    return written / seconds


def bare_rq(url: str, count: int) -> float:
    """Return the no-op jobs per second, enqueued while a worker performs them."""
    client = redis.Redis.from_url(url)
    queue = rq.Queue("bare", connection=client)
    log = subprocess.DEVNULL
    command = [sys.executable, "-c", BARE, url]
    with subprocess.Popen(command, stdout=log, stderr=log) as process:
        first = queue.enqueue("os.getpid")
        until(lambda: first.get_status() == "finished")
        began = time.perf_counter()
        last = [queue.enqueue("os.getpid") for _ in range(count)][-1]
        until(lambda: last.get_status() == "finished", 600)
        seconds = time.perf_counter() - began
        process.terminate()
    return count / seconds


def _unwritten() -> int:
    db.session.rollback()
    active = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
    return db.session.scalar(select(func.count(Job.id)).where(active)) or 0


def _purchases() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count(Purchase.id))) or 0
