"""Concurrent sales and changes of state, while the worker and Redis are killed.

`python -m benchmarks sales_storm [SALES] [sqlite|postgresql] [SEED]`. Fails if anything is
lost or duplicated. Not part of `make bench`: it takes long and does not measure speed.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random, randrange

from sqlalchemy import select

from automart.core.db import db
from automart.purchases.models import Purchase
from benchmarks.support import databases, partners_app
from tests.support.storm.changes import Changes
from tests.support.storm.deployment import Deployment, start_deployment
from tests.support.storm.load import ScheduledFault, Work, run_with_faults
from tests.support.storm.sales import Sales

SALES = 5_000
# Sales or purchases per fault.
EVERY = 100
SEEDS = 10**6
LAST_SHARE = 0.9


def main(sales: str = str(SALES), only: str = "", seed: str | None = None) -> None:
    """Run on both databases, or on the given one, and print what happened."""
    number = randrange(SEEDS) if seed is None else int(seed)
    with databases() as found:
        for name, url in found:
            if only in ("", name.lower()):
                print(f"{name}, {int(sales):,} sales, seed {number}:", flush=True)
                _storms(url, int(sales), Random(number))


def _storms(database_url: str, count: int, random: Random) -> None:
    with ExitStack() as stack:
        folder = Path(
            tempfile.mkdtemp(prefix="storm-")
        )  # contains the logs; deleted only on success
        app, settings, redis = stack.enter_context(partners_app(database_url, folder))
        deployment = stack.enter_context(start_deployment(app, settings, redis, random))
        faults = deployment.faults
        for_all = [
            faults.worker_dies,
            faults.process_dies,
            faults.process_dies,
            faults.redis_restarts,
            faults.redis_restarts_empty,
            faults.redis_is_emptied,
        ]
        _storm(deployment, Sales(deployment, count), _scheduled(random, count, for_all))
        for_offices = [
            faults.worker_dies_while_sending,
            faults.office_fails,
            faults.office_is_slow,
            faults.offices_close,
        ]
        ids = list(db.session.scalars(select(Purchase.id).order_by(Purchase.id)))
        scheduled = _scheduled(random, count, for_all + for_offices)
        _storm(deployment, Changes(deployment, ids), scheduled)
    shutil.rmtree(folder)


def _scheduled(
    random: Random, count: int, kinds: Sequence[Callable[[], None]]
) -> list[ScheduledFault]:
    """Return faults at random times, each kind at least once."""
    more = random.choices(kinds, k=max(0, count // EVERY - len(kinds)))
    return [ScheduledFault(random.uniform(0, LAST_SHARE), kind) for kind in [*kinds, *more]]


def _storm(deployment: Deployment, work: Work, faults: Sequence[ScheduledFault]) -> None:
    deployment.faults.counts.clear()
    deployment.senders.refused = 0
    began = time.perf_counter()
    counts = run_with_faults([work], faults)
    seconds = time.perf_counter() - began
    _print_counts(deployment.faults.counts)
    _print_counts(counts + Counter({"answered 503 and repeated": deployment.senders.refused}))
    print(f"  {seconds:>7,.0f} seconds; all results are correct", flush=True)


def _print_counts(counts: Counter[str]) -> None:
    for what, count in counts.items():
        print(f"  {count:>7,} {what}", flush=True)
