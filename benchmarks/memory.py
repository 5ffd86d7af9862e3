"""Memory of web and worker under a mixed load at full speed. It must stay flat after a while.

`python -m benchmarks memory [MINUTES] [sqlite|postgresql]`. Unlike in production, web processes
are not replaced after a number of requests, so that a leak shows. Not part of `make bench`, because
it takes long.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.mixed_load import make_parties, mixed_load
from benchmarks.support import databases, partners_app, vpic
from sandbox import Catalogue
from sandbox.office import Offices
from tests.support.processes import WorkerProcesses, worker_running
from tests.support.web import Gunicorn, gunicorn_running

MINUTES = 30
LOOKS = 10
MEGABYTE = 2**20


def main(minutes: str = str(MINUTES), only: str = "") -> None:
    """Print the private memory of each process at intervals, and the responses at the end."""
    with databases() as found, vpic(Catalogue.sample()) as nhtsa_url:
        for name, url in found:
            if only in ("", name.lower()):
                print(
                    f"{name}, {minutes} minutes; private memory of each process in MB:", flush=True
                )
                _run(url, nhtsa_url, float(minutes) * 60)


def _run(database_url: str, nhtsa_url: str, seconds: float) -> None:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="memory-"))
        stack.callback(shutil.rmtree, folder)
        app, settings, _redis = stack.enter_context(
            partners_app(database_url, folder, nhtsa_url=nhtsa_url)
        )
        offices = stack.enter_context(Offices())
        parties = make_parties(app, offices)
        worker = stack.enter_context(worker_running(settings))
        web = stack.enter_context(gunicorn_running(settings, "--max-requests", "0"))
        with mixed_load(web.url, parties) as answers:
            _watch(web, worker, seconds)
        print(f"  {answers.total()} requests: {dict(sorted(answers.items()))}", flush=True)


def _watch(web: Gunicorn, worker: WorkerProcesses, seconds: float) -> None:
    began = time.monotonic()
    for look in range(1, LOOKS + 1):
        # These are sampling times; the benchmark waits for nothing else.
        time.sleep(max(0.0, began + seconds * look / LOOKS - time.monotonic()))
        minutes = (time.monotonic() - began) / 60
        sizes = f"web {_memory(web.master)} · worker {_memory(worker.supervisor)}"
        print(f"  {minutes:5.1f} min: {sizes}", flush=True)


def _memory(parent: psutil.Process) -> str:
    processes = [parent, *parent.children()]
    return " ".join(f"{each.memory_full_info().uss / MEGABYTE:.0f}" for each in processes)
