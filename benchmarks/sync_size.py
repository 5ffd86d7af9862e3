"""The cost of a sync of 12,337 makes, the number that NHTSA has, beside one of 1,000.

Neither the worker's memory nor the cost of ordering the sync and of polling its job should grow
with the number of makes.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from automart.background import Job
from automart.core.db import db
from benchmarks.support import add_makes, databases, empty_catalogue, quiet_app, vpic
from jobs import runner
from sandbox import Catalogue
from tests.support.people import make_user, signed_in

FEW, MANY = 1_000, 12_337


def main(all_makes: str | None = None) -> None:
    """Measure. `all_makes` is the path of a recorded GetAllMakes response for the large sync."""
    few = Catalogue.made_up(makes=FEW, models_per_make=4)
    many = (
        Catalogue.from_all_makes(Path(all_makes))
        if all_makes
        else Catalogue.made_up(makes=MANY, models_per_make=4)
    )
    with databases() as found:
        for name, url in found:
            for catalogue in (few, many):
                _measure(name, url, catalogue)


def _measure(name: str, database_url: str, catalogue: Catalogue) -> None:
    with vpic(catalogue) as url, quiet_app(database_url, url) as app:
        add_makes(catalogue)
        client = signed_in(app, make_user(is_admin=True))
        ordered, answer = _timed(lambda: client.post("/v1/vehicle-syncs"))
        job_url = answer.json["url"]
        here, there = multiprocessing.Pipe()
        worker = multiprocessing.get_context("spawn").Process(
            target=_work, args=(there, database_url, url, answer.json["id"])
        )
        worker.start()
        before = here.recv()
        polls = _polls(client, job_url)
        after = here.recv()
        worker.join()
        seconds = _seconds_taken()
        result = client.get(job_url).json
        assert result["state"] == "succeeded", result["error"]
        print(
            f"{name}, {len(catalogue.makes):>6} makes: ordered in {ordered * 1000:.0f} ms,"
            f" polled while it runs in {statistics.median(polls) * 1000:.1f} ms,"
            f" worker's memory {before:.0f} MB before and at most {after:.0f} MB;"
            f" {len(catalogue.makes) / seconds:.0f} makes/s"
        )
        empty_catalogue()


def _polls(client: Any, job_url: str) -> list[float]:
    """Return the durations of polling requests while the job is running."""
    taken = []
    while True:
        seconds, answer = _timed(lambda: client.get(job_url))
        if answer.json["finished_at"] is not None:
            return taken
        if answer.json["state"] == "running":
            taken.append(seconds)
        time.sleep(0.05)


def _work(pipe: Connection, database_url: str, nhtsa_url: str, job_id: str) -> None:
    with quiet_app(database_url, nhtsa_url):
        db.session.get(Job, uuid.UUID(job_id))
        db.session.rollback()
        pipe.send(_peak_memory())
        runner.run(job_id)
        pipe.send(_peak_memory())


def _peak_memory() -> float:
    """Return the peak memory of this process so far, in MB."""
    if sys.platform == "linux":  # the other figure begins with that of the parent
        status = Path("/proc/self/status").read_text().partition("VmHWM:")[2]
        return int(status.split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _seconds_taken() -> float:
    job = db.session.query(Job).populate_existing().one()
    assert job.started_at is not None
    assert job.finished_at is not None
    return (job.finished_at - job.started_at).total_seconds()


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = work()
    return time.perf_counter() - started, answer
