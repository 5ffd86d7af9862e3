"""A long mixed load at full speed: nothing may grow or be left over, and no error be logged.

`python -m benchmarks soak [MINUTES]`, on one database with `--database`. Unlike in production, web
processes are not replaced after a number of requests, so that a leak shows. A 503 with
`Retry-After`, if it is documented, is repeated. Not part of `make bench`, because it takes long.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import psutil
import redis
from flask import Flask
from sqlalchemy import func, select, text

from automart.background import Job
from automart.background.kinds import Queue
from automart.background.models import JobInput
from automart.background.queues import waiting_ids
from automart.cli import doctor
from automart.cli.findings import Grade
from automart.core.config import Settings
from automart.core.db import db
from automart.customers.models import Customer
from automart.webhooks.models import DeliveryState, WebhookDelivery
from benchmarks.mixed_load import make_parties, mixed_load
from benchmarks.support import databases, partners_app, vpic
from sandbox import Catalogue
from sandbox.office import Offices
from tests.support.processes import is_alive, until, worker_running
from tests.support.web import gunicorn_running

MINUTES = 60
LOOKS = 12
MEGABYTE = 2**20
# Of the memory of all processes together.
MOST_GROWTH = 0.1
MOST_NEW_FILES = 6
# A range may be booked already, and an order cancelled, or a sync running.
EXPECTED = {"200", "201", "202", "204", "409"}
DRAINS_WITHIN = 180
SHOWN_WARNINGS = 5
"""So many of each kind."""
SURPRISE = re.compile(r"\[(error|critical) *\]")
WARNING = re.compile(r"\[warning *\] (\S+)")


def main(minutes: str = str(MINUTES), database: str | None = None) -> None:
    """Run the load on each database, print what was measured, and fail if something is wrong."""
    faults = []
    with databases(database) as found, vpic(Catalogue.sample()) as nhtsa_url:
        assert found, f"{database} is not there."
        for name, url in found:
            print(f"{name}, {minutes} minutes:", flush=True)
            faults += [f"{name}: {one}" for one in _run(url, nhtsa_url, float(minutes) * 60)]
    assert not faults, "\n".join(["", *faults])


def _run(database_url: str, nhtsa_url: str, seconds: float) -> list[str]:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="soak-"))
        stack.callback(shutil.rmtree, folder)
        temporary = _temporary_folder(stack, folder)
        app, settings, _redis = stack.enter_context(
            partners_app(database_url, folder, nhtsa_url=nhtsa_url)
        )
        faults = _load(app, settings, seconds)
        faults += [f"temporary file: {path}" for path in temporary.rglob("*") if path.is_file()]
        return faults + [f"log: {line}" for line in _surprises(folder)]


def _load(app: Flask, settings: Settings, seconds: float) -> list[str]:
    with ExitStack() as stack:
        offices = stack.enter_context(Offices())
        parties = make_parties(app, offices)
        worker = stack.enter_context(worker_running(settings))
        web = stack.enter_context(gunicorn_running(settings, "--max-requests", "0"))
        watch = Watch([web.master, worker.supervisor])
        with mixed_load(web.url, parties) as answers:
            watch.during(seconds)
        final, repeats = answers.final, answers.repeats
        print(f"  {final.total()} requests: {dict(sorted(final.items()))}", flush=True)
        print(f"  {repeats.total()} repeated after a 503: {dict(repeats) or 'none'}", flush=True)
        faults = [
            f"responses: {number} times {key}"
            for key, number in final.items()
            if key.split()[1] not in EXPECTED
        ]
        faults += _undrained(settings)
        watch.look()
        findings = [one for one in doctor.examine(app, settings) if one.grade is Grade.BAD]
        faults += [f"doctor: {finding}" for finding in findings]
        return faults + watch.faults() + _connections(settings)


def _temporary_folder(stack: ExitStack, folder: Path) -> Path:
    """Let the processes have a folder for temporary files that nobody else uses."""
    temporary = folder / "tmp"
    temporary.mkdir()
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(temporary)
    stack.callback(lambda: os.environ.pop("TMPDIR") if before is None else None)
    return temporary


Look = dict[int, tuple[float, int]]
"""The memory in MB and the number of open files of each process."""


@dataclass
class Watch:
    """Memory and open files of all processes."""

    parents: list[psutil.Process]
    looks: list[Look] = field(default_factory=list)

    def during(self, seconds: float) -> None:
        began = time.monotonic()
        for look in range(1, LOOKS + 1):
            # These are sampling times; nothing else is waited for.
            time.sleep(max(0.0, began + seconds * look / LOOKS - time.monotonic()))
            self.look()

    def look(self) -> None:
        found: Look = {}
        for parent in self.parents:
            for process in [parent, *filter(is_alive, parent.children())]:
                size = process.memory_full_info().uss / MEGABYTE
                found[process.pid] = size, process.num_fds()
        self.looks.append(found)
        shown = " ".join(f"{size:.0f}/{files}" for size, files in found.values())
        print(f"  {sum(s for s, _ in found.values()):.0f} MB. MB/files: {shown}", flush=True)

    def faults(self) -> list[str]:
        """Return what has grown since the first half, in which caches fill."""
        middle, end = self.looks[LOOKS // 2], self.looks[-1]
        found = [
            f"process {pid} has {files} files open, {middle[pid][1]} before"
            for pid, (_, files) in end.items()
            if pid in middle and files > middle[pid][1] + MOST_NEW_FILES
        ]
        before, after = (sum(size for size, _ in look.values()) for look in (middle, end))
        if after > before * (1 + MOST_GROWTH):
            found.append(f"memory grew from {before:.0f} to {after:.0f} MB")
        if middle.keys() - end.keys():
            found.append("processes ended and were restarted")
        return found


def _undrained(settings: Settings) -> list[str]:
    """Wait until nothing is left to do. Return what is left nevertheless."""
    photos = settings.instance / "photos"
    left: dict[str, int] = {}

    def count(statement: object) -> int:
        db.session.rollback()
        return int(db.session.scalar(statement))  # type: ignore[call-overload]

    def is_drained() -> bool:
        pending = WebhookDelivery.state == DeliveryState.PENDING
        left.update(
            {
                "jobs": count(select(func.count()).where(Job.finished_at.is_(None))),
                "inputs of jobs": count(select(func.count()).select_from(JobInput)),
                "deliveries": count(select(func.count()).where(pending)),
                "messages": _messages(),
                "photos without customer": sum(path.is_file() for path in photos.rglob("*"))
                - count(select(func.count()).where(Customer.photo_token.is_not(None))),
            }
        )
        db.session.rollback()
        return not any(left.values())

    began = time.monotonic()
    try:
        until(is_drained, seconds=DRAINS_WITHIN)
    except AssertionError:
        return [f"left over: {number} {what}" for what, number in left.items() if number]
    print(f"  drained after {time.monotonic() - began:.0f} s", flush=True)
    return []


def _messages() -> int:
    """Return the number of messages in all queues. A busy Redis is asked again later."""
    try:
        return sum(len(waiting_ids(queue)) for queue in Queue)
    except redis.RedisError:
        return 1


def _connections(settings: Settings) -> list[str]:
    if settings.is_sqlite:
        return []
    of_database = (
        "SELECT state, count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " GROUP BY state"
    )
    states = dict(db.session.execute(text(of_database)).all())
    db.session.rollback()
    print(f"  connections: {states}", flush=True)
    return [f"connections: {state}" for state in states if "transaction" in str(state)]


def _error_of(traceback: Iterable[str]) -> str:
    """Return the last place of a traceback that follows, and its error."""
    place = ""
    for line in traceback:
        if not line.startswith(" "):
            return f"{place}: {line.strip()}"
        if line.startswith("  File "):
            place = line.strip()
    return place


def _surprises(folder: Path) -> list[str]:
    """Return the errors in the logs, and print the warnings."""
    warnings: Counter[str] = Counter()
    found = []
    for path in folder.glob("*.log"):
        with path.open(errors="replace") as lines:
            for line in lines:
                if "most recent call first" in line:
                    stack = takewhile(lambda line: line.startswith("  File "), lines)
                    found.append("\n".join([f"{path.name}: {line.strip()}", *stack]))
                elif "Traceback" in line:
                    found.append(f"{path.name}: {_error_of(lines)[:300]}")
                elif SURPRISE.search(line):
                    found.append(f"{path.name}: {line.strip()[:300]}")
                elif warning := WARNING.search(line):
                    warnings[warning[1]] += 1
                    if warnings[warning[1]] <= SHOWN_WARNINGS:
                        print(f"  {line.strip()}", flush=True)
    print(f"  warnings: {dict(warnings) or 'none'}", flush=True)
    return found[:20]
