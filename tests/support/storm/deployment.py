"""A deployment of real processes (web, worker, Redis) with offices and a manufacturer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from threading import Lock

from flask import Flask

from automart.accounts.models import Client
from automart.core.config import Settings
from automart.partners.models import RegionalOffice
from sandbox.office import Offices
from tests.support.people import token_of
from tests.support.processes import worker_running
from tests.support.purchases import (
    HONDA,
    TOYOTA,
    client_of,
    ensure_catalogue,
    make_manufacturer,
    make_signing_office,
)
from tests.support.redis_server import RedisServer
from tests.support.storm.faults import Faults
from tests.support.storm.load import Senders
from tests.support.web import web_running

OFFICES = 8
# Tokens are valid for 15 minutes.
TOKEN_SECONDS = 600.0


class Machine:
    """The system of a partner. It renews its access token before that expires."""

    def __init__(self, app: Flask, client: Client) -> None:
        self._app = app
        self._client = client
        self._lock = Lock()
        self._renewed_at = 0.0
        self._token = ""

    @property
    def token(self) -> str:
        with self._lock:
            if not self._token or time.monotonic() > self._renewed_at + TOKEN_SECONDS:
                self._token = token_of(self._app, self._client)
                self._renewed_at = time.monotonic()
            return self._token


@dataclass(frozen=True)
class Seller:
    """A regional office, its name in the sandbox, and its system."""

    name: str
    office: RegionalOffice
    machine: Machine


@dataclass(frozen=True)
class Deployment:
    """The running processes, their clients, and the faults that can happen to them."""

    senders: Senders
    faults: Faults
    offices: Offices
    sellers: list[Seller]
    maker: Machine
    random: Random


@contextmanager
def start_deployment(
    app: Flask, settings: Settings, redis: RedisServer, random: Random
) -> Iterator[Deployment]:
    """Start everything on an empty database, in the application context of `app`."""
    with ExitStack() as stack:
        offices = stack.enter_context(Offices())
        worker = stack.enter_context(worker_running(settings))
        ensure_catalogue()
        sellers = [_seller(app, offices, number) for number in range(1, OFFICES + 1)]
        maker = client_of(make_manufacturer(HONDA, TOYOTA))
        url = stack.enter_context(web_running(settings, processes=2))
        yield Deployment(
            senders=stack.enter_context(Senders(url)),
            faults=Faults(worker, redis, offices, random),
            offices=offices,
            sellers=sellers,
            maker=Machine(app, maker),
            random=random,
        )


def _seller(app: Flask, offices: Offices, number: int) -> Seller:
    name = f"office-{number}"
    office, secret = make_signing_office(webhook_url=offices.url(name))
    offices.trust(name, secret)
    return Seller(name, office, Machine(app, client_of(office)))
