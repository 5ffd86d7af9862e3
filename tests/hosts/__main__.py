"""Two hosts under load, while one is disconnected, Redis is killed, and PostgreSQL is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from automart.background import Job
from automart.catalogue.seed import add_samples
from automart.core.db import db, transaction
from automart.customers.models import Customer
from tests.hosts.callers import EMAIL, PASSWORD, Answer, started
from tests.hosts.network import Impossible, network
from tests.hosts.services import ROOT, WEB, Programs, Store, environment, start_host
from tests.hosts.tally import (
    RECOVERED_WITHIN,
    Disturbance,
    faults,
    is_good,
    lost_customers,
    recovery,
    table,
)
from tests.support.people import make_user
from tests.support.postgresql import Unavailable
from tests.support.setup import application, make_settings, migrate

HOSTS = ("one", "two")
SHOWN = 15
STARTS_WITHIN = 180.0
# When each part goes down and comes back, as fractions of the duration.
CUT_OFF, REDIS, POSTGRESQL = (0.05, 0.40), (0.55, 0.60), (0.70, 0.78)


def main(
    seconds: Annotated[int, typer.Option(min=60, max=3600, help="Duration.")] = 300,
    threads: Annotated[int, typer.Option(min=1, max=32, help="Number of callers per host.")] = 4,
) -> None:
    """Exit with status 1 if there was any fault."""
    with tempfile.TemporaryDirectory(prefix="automart-hosts-") as folder:
        Path(folder).chmod(0o755)
        try:
            found = _run(Path(folder), seconds, threads)
        except (Impossible, Unavailable) as reason:
            print(f"Not possible here: {reason}")
            sys.exit(2)
    print(f"\n{len(found)} faults" if found else "\nNo faults.")
    for fault in found[:SHOWN]:
        print(f"  {fault}")
    sys.exit(1 if found else 0)


def _run(folder: Path, seconds: int, threads: int) -> list[str]:
    with network(HOSTS) as hosts, Programs(hosts, folder) as programs:
        store = Store(programs)
        store.start()
        store.wait()
        migrate(store.local_database_url, folder)
        settings = make_settings(
            store.local_database_url,
            instance=folder,
            secret_key=environment(store)["SECRET_KEY"],
        )
        with application(settings) as app, app.app_context():
            make_user(email=EMAIL, password=PASSWORD, is_admin=True)
            with transaction():
                add_samples()
            for host in HOSTS:
                start_host(programs, host, store)
            for host in HOSTS:
                _wait_for_web(programs, host)
            callers = _start_callers(programs, seconds, threads)
            disturbances = _disturb(programs, store, seconds)
            answers = dict(zip(HOSTS, _answers(callers, seconds), strict=True))
            return _judge(answers, disturbances)


def _wait_for_web(programs: Programs, host: str) -> None:
    url = f"http://127.0.0.1:{WEB}/health/ready"
    ask = f"import requests; requests.get({url!r}).raise_for_status()"
    command = programs.network.command(host, [sys.executable, "-c", ask])
    deadline = time.monotonic() + STARTS_WITHIN
    while subprocess.run(command, capture_output=True).returncode:
        if time.monotonic() > deadline:
            log = (programs.folder / f"web-{host}.log").read_text()[-2000:]
            raise Impossible(f"the web of host {host} does not start. {log}")
        time.sleep(0.5)


def _start_callers(
    programs: Programs, seconds: int, threads: int
) -> dict[Path, subprocess.Popen[bytes]]:
    """Start callers on each host. When all are logged in, return them and their result files."""
    callers = {}
    for host in HOSTS:
        file = programs.folder / f"{host}.answers"
        command = [sys.executable, "-m", "tests.hosts.callers", f"http://127.0.0.1:{WEB}"]
        command += [str(seconds), str(threads), str(file)]
        callers[file] = programs.start(f"callers-{host}", host, command, folder=ROOT)
    for file, process in callers.items():
        while not started(file).exists():
            if process.poll() is not None:
                raise RuntimeError("The callers have failed. See their log.")
            time.sleep(0.1)
    return callers


def _answers(callers: Mapping[Path, subprocess.Popen[bytes]], seconds: int) -> list[list[Answer]]:
    """Return the responses that the callers of each host received."""
    found = []
    for file, process in callers.items():
        if process.wait(seconds + 120):
            raise RuntimeError("The callers have failed. See their log.")
        found.append([Answer(**json.loads(line)) for line in file.read_text().splitlines()])
    return found


def _disturb(programs: Programs, store: Store, seconds: int) -> list[Disturbance]:
    """Take each part down and bring it back, each at its time."""
    began = time.monotonic()

    def disturb(
        what: str, span: tuple[float, float], down: Callable[[], None], up: Callable[[], None]
    ) -> Disturbance:
        _sleep_until(began + span[0] * seconds)
        print(f"{time.monotonic() - began:6.1f} s: {what}", flush=True)
        start = time.monotonic()
        down()
        _sleep_until(began + span[1] * seconds)
        up()
        print(f"{time.monotonic() - began:6.1f} s: is back", flush=True)
        return Disturbance(what, start, time.monotonic())

    def postgresql_again() -> None:
        store.start_postgresql()
        store.wait()

    cut = HOSTS[1]
    net = programs.network
    return [
        disturb(f"host {cut} is cut off", CUT_OFF, lambda: net.cut_off(cut), lambda: net.join(cut)),
        disturb("Redis is killed", REDIS, store.kill_redis, store.start_redis),
        disturb("PostgreSQL is killed", POSTGRESQL, store.kill_postgresql, postgresql_again),
    ]


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _judge(answers: dict[str, list[Answer]], disturbances: list[Disturbance]) -> list[str]:
    print()
    found = []
    everything = [answer for each in answers.values() for answer in each]
    for host, received in answers.items():
        print(table(host, received))
        found += [f"{host}: {fault}" for fault in faults(received, disturbances)]
    ends = [each.began for each in disturbances[1:]] + [float("inf")]
    for disturbance, until in zip(disturbances, ends, strict=True):
        took = recovery(disturbance, everything, until)
        print(f"{disturbance.what}: recovered {took:.1f} s after it was back")
        if took > RECOVERED_WITHIN:
            found.append(f"{disturbance.what}: took {took:.1f} s to recover")
    return found + _lost_customers(everything) + _lost_jobs(everything)


def _lost_customers(answers: list[Answer]) -> list[str]:
    db.session.rollback()
    stored = dict(db.session.execute(select(Customer.id, Customer.last_name)).all())
    lost = lost_customers(answers, stored)
    acknowledged = sum(each.kind in ("create", "change") and is_good(each) for each in answers)
    print(f"writes of customers: {acknowledged} acknowledged, {len(lost)} lost")
    return lost


def _lost_jobs(answers: list[Answer]) -> list[str]:
    """Return a fault for each acknowledged job that is missing or does not end."""
    acknowledged = {str(each.ident) for each in answers if each.kind == "order" and each.ident}
    deadline = time.monotonic() + RECOVERED_WITHIN
    while True:
        db.session.rollback()
        states = {str(job.id): job.state for job in db.session.scalars(select(Job))}
        unended = [each for each, state in states.items() if not state.has_ended]
        if not unended or time.monotonic() > deadline:
            break
        time.sleep(1)
    lost = acknowledged - states.keys()
    print(
        f"jobs: {len(acknowledged)} acknowledged, {len(lost)} lost, {len(unended)} not ended;",
        dict(Counter(str(state) for state in states.values())),
    )
    return [f"job {each} is lost" for each in lost] + [
        f"job {each} has not ended" for each in unended
    ]


if __name__ == "__main__":
    typer.run(main)
