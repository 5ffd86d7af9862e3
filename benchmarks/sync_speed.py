"""The speed of a sync: alone, with a rate limit, and beside a bare loop of requests.

Aims: 300 makes a second without a limit on two cores; with a limit of R at most R in any second and
at least 0.95 R overall; with slow responses at most 1.15 times the duration of the bare loop.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import requests
from requests.adapters import HTTPAdapter

from benchmarks.support import add_makes, databases, empty_catalogue, quiet_app, sync, vpic
from jobs.catalogue import MAX_CONNECTIONS
from sandbox import Catalogue

UNPACED_MAKES = 3_000
SLOW_MAKES = 400
LATENCY = 0.2
PACED_MAKES = 300
RATES = (3.0, 50.0)


def main() -> None:
    with databases() as found:
        for name, url in found:
            _unpaced(name, url)
            _slow(name, url)
        for rate in RATES:
            _paced(found[0][1], rate)


def _unpaced(name: str, database_url: str) -> None:
    catalogue = Catalogue.made_up(makes=UNPACED_MAKES, models_per_make=4)
    with vpic(catalogue) as url, quiet_app(database_url, url):
        add_makes(catalogue)
        for what in ("everything new", "nothing changed"):
            seconds, cpu = _timed(sync)
            print(
                f"{name}, {what}: {UNPACED_MAKES / seconds:.0f} makes/s,"
                f" {cpu / UNPACED_MAKES * 1000:.2f} ms of CPU a make in the worker"
            )
        bare, _ = _timed(lambda: fetch_all(url, catalogue.makes))
        print(f"{name}: the bare fetch loop alone reaches {UNPACED_MAKES / bare:.0f} makes/s")
        empty_catalogue()


def _slow(name: str, database_url: str) -> None:
    catalogue = Catalogue.made_up(makes=SLOW_MAKES, models_per_make=4)
    with vpic(catalogue, "--latency", str(LATENCY)) as url, quiet_app(database_url, url):
        add_makes(catalogue)
        bare, _ = _timed(lambda: fetch_all(url, catalogue.makes))
        seconds, _ = _timed(sync)
        print(
            f"{name}, {LATENCY * 1000:.0f} ms latency: {seconds:.1f} s,"
            f" {seconds / bare:.2f} of the bare fetch loop's {bare:.1f} s"
        )
        empty_catalogue()


def _paced(database_url: str, rate: float) -> None:
    makes = int(min(PACED_MAKES, 20 * rate))
    catalogue = Catalogue.made_up(makes=makes, models_per_make=4)
    with vpic(catalogue) as url, quiet_app(database_url, url, rate):
        add_makes(catalogue)
        sync()
        arrivals = _arrivals(url)
        most = max(sum(at <= other < at + 1 for other in arrivals) for at in arrivals)
        overall = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
        print(
            f"Paced at {rate:g} a second: at most {most} in any second,"
            f" {overall / rate:.3f} of the pace overall"
        )
        empty_catalogue()


def fetch_all(url: str, make_ids: Iterable[int]) -> None:
    """Do the minimum of any sync: fetch and parse, over the same number of connections."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_maxsize=MAX_CONNECTIONS))

    def fetch(make_id: int) -> None:
        session.get(f"{url}/vehicles/GetModelsForMakeId/{make_id}?format=json").json()

    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        list(pool.map(fetch, make_ids))


def _arrivals(url: str) -> list[float]:
    log = url.removesuffix("/api") + "/_sandbox/requests"
    with urllib.request.urlopen(log) as answer:
        return sorted(request["at"] for request in json.load(answer)["requests"])


def _timed(work: object) -> tuple[float, float]:
    """Return the elapsed seconds and the CPU seconds of this process."""
    started, cpu = time.perf_counter(), time.process_time()
    work()  # type: ignore[operator]
    return time.perf_counter() - started, time.process_time() - cpu
