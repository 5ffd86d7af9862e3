"""Makes per second of a sync without latency, beside a bare loop that fetches and parses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from automart.catalogue.models import ModelChange, VehicleModel
from automart.core.db import db, transaction
from benchmarks.comparison import Comparison, Size, alternately
from benchmarks.support import add_makes, databases, empty_catalogue, quiet_app, sync, vpic
from benchmarks.sync_speed import fetch_all
from sandbox import Catalogue

AIMS = {"SQLite": 0.7, "PostgreSQL": 0.5}


def compare(size: Size) -> Iterator[Comparison]:
    with databases(size.database) as found:
        for name, database_url in found:
            catalogue = Catalogue.made_up(makes=size.makes, models_per_make=4)
            with vpic(catalogue) as url, quiet_app(database_url, url):
                add_makes(catalogue)
                for what, prepare in WHAT.items():
                    pairs = alternately(
                        partial(_rate, sync, size.makes, prepare),
                        partial(_rate, partial(fetch_all, url, catalogue.makes), size.makes),
                        size.rounds,
                    )
                    yield Comparison(
                        f"sync, {what}", name, "fetch and parse", "makes/s", AIMS[name], pairs
                    )
                empty_catalogue()


def _rate(
    work: Callable[[], object], makes: int, prepare: Callable[[], None] = lambda: None
) -> float:
    prepare()
    began = time.perf_counter()
    work()
    return makes / (time.perf_counter() - began)


def _delete_models() -> None:
    with transaction():
        for model in (ModelChange, VehicleModel):
            db.session.query(model).delete()


def _keep_models() -> None:
    """The round before, which does not count, has stored them."""


WHAT: dict[str, Callable[[], None]] = {
    "everything new": _delete_models,
    "nothing changed": _keep_models,
}
