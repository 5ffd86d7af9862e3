"""What concurrent clients see can be explained by an order of what they did."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from random import Random

import pytest
import requests
from flask import Flask

from automart.core.config import Settings
from tests.histories.clients import (
    Bookings,
    Busy,
    Counts,
    History,
    Http,
    IdempotentPosts,
    OwnModels,
    Subject,
    Tokens,
    Versions,
)
from tests.support.databases import on_postgresql_if_installed
from tests.support.people import make_user, token_of
from tests.support.web import web_running

pytestmark = pytest.mark.processes

CLIENTS = 8
OPERATIONS = 40
CLIENTS_OF_LONG_FORM = 16
OPERATIONS_OF_LONG_FORM = 600


def run_clients(app: Flask, url: str, clients: int, operations: int) -> dict[str, History]:
    """Let clients act on all subjects at the same time. Return the histories."""
    token = token_of(app, make_user(is_admin=True))
    with ExitStack() as stack:

        def connect(seed: int) -> Http:
            session = stack.enter_context(requests.Session())
            session.trust_env = False
            return Http(url, token, Random(seed), session)

        first = connect(0)
        own_models = OwnModels(first)
        subjects: list[Subject] = [
            *(Bookings(), Versions(first), IdempotentPosts()),
            *(Counts(first), Tokens(app), own_models),
        ]

        def act(seed: int) -> None:
            http = connect(seed)
            with app.app_context():
                for _ in range(operations):
                    with suppress(Busy):
                        http.random.choice(subjects).act(http)

        with ThreadPoolExecutor(clients) as pool:
            for running in [pool.submit(act, seed) for seed in range(1, clients + 1)]:
                running.result()
    histories = {subject.name: subject.histories for subject in subjects}
    return histories | {"changes of models": own_models.log}


@on_postgresql_if_installed
def test_a_short_history_of_each_kind_has_an_order(app: Flask, settings: Settings) -> None:
    with web_running(settings, processes=2) as url:
        for history in run_clients(app, url, CLIENTS, OPERATIONS).values():
            assert history.count
            history.check()


@pytest.mark.histories
def test_long_histories_of_each_kind_have_an_order(app: Flask, settings: Settings) -> None:
    with web_running(settings, processes=4) as url:
        began = time.monotonic()
        histories = run_clients(app, url, CLIENTS_OF_LONG_FORM, OPERATIONS_OF_LONG_FORM)
        seconds = time.monotonic() - began
    for history in histories.values():
        history.check()
    counts = {name: history.count for name, history in histories.items()}
    print(f"{sum(counts.values())} operations in {seconds:.0f} s: {counts}")
    assert sum(counts.values()) > 5_000
