"""Changes since a time are found by few reads, however many there were before."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from flask import Flask

from automart.catalogue.changes import CLOCK_TOLERANCE, first_id_since, next_id
from automart.catalogue.models import Counter, ModelChange, ModelChangeKind
from automart.core.db import db, transaction, utcnow
from tests.fixtures import Queries

MINUTE = timedelta(minutes=1)
COUNT = 2_000


def add_changes(times: dict[int, datetime], count: int = COUNT) -> None:
    """Add changes with these ids, of `count` that were used. Some are missing, as those of expired
    proposals are."""
    with transaction():
        next_id(Counter.MODEL_CHANGE, count)
        db.session.execute(
            ModelChange.__table__.insert(),
            [
                {
                    "id": ident,
                    "at": at,
                    "make_id": 7,
                    "make_name": "Seven",
                    "model_id": 1,
                    "change": ModelChangeKind.RENAMED,
                    "name": "One",
                }
                for ident, at in times.items()
            ],
        )


def test_no_change_since_a_time_is_below_the_first_id(
    app: Flask, count_queries: Callable[[], AbstractContextManager[Queries]]
) -> None:
    assert first_id_since(utcnow()) == 1
    chance, now = random.Random(3), utcnow()
    ids = sorted(chance.sample(range(1, COUNT), COUNT // 2))
    back = CLOCK_TOLERANCE / MINUTE - 1  # a clock that was wrong by so much
    minutes = {i: i - chance.choice((0, 0, 0, chance.uniform(0, back))) for i in ids}
    add_changes({i: now + m * MINUTE for i, m in minutes.items()})

    for since in (-1e6, *chance.choices(list(minutes.values()), k=20), COUNT, 1e6):
        with count_queries() as queries:
            first = first_id_since(now + since * MINUTE)
        assert queries.count <= 2 + COUNT.bit_length()
        assert all(i >= first for i, m in minutes.items() if m >= since)
        oldest = since - back - CLOCK_TOLERANCE / MINUTE - 1
        assert all(i < first for i, m in minutes.items() if m < oldest)


def test_the_search_ends_at_the_first_change_that_is_not_too_old(app: Flask) -> None:
    """It could return the first id of all, and nobody would notice except by the time it takes."""
    step, now = 2 * CLOCK_TOLERANCE, utcnow()
    times = {i: now + i * step for i in range(1, 8)}
    add_changes(times, len(times))

    assert [first_id_since(at) for at in times.values()] == list(times)
    assert first_id_since(now + 8 * step) == 8
