"""All that a storm rages about: web, worker and Redis as real processes, offices, manufacturers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random

from flask import Flask

from automart.config import Settings
from automart.purchases.models import RegionalOffice
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
from tests.support.storm.misfortunes import Misfortunes
from tests.support.storm.weather import Senders
from tests.support.web import web_running

OFFICES = 8


@dataclass(frozen=True)
class Seller:
    """A regional office, what the sandbox calls it, and the token of its systems."""

    name: str
    office: RegionalOffice
    token: str


@dataclass(frozen=True)
class House:
    """What serves, whom it serves, and what can befall it."""

    senders: Senders
    misfortunes: Misfortunes
    offices: Offices
    sellers: list[Seller]
    maker_token: str
    random: Random


@contextmanager
def open_house(
    app: Flask, settings: Settings, redis: RedisServer, random: Random
) -> Iterator[House]:
    """Start everything on an empty database, in the application context of `app`."""
    with ExitStack() as stack:
        offices = stack.enter_context(Offices())
        worker = stack.enter_context(worker_running(settings))
        ensure_catalogue()
        sellers = [_seller(app, offices, number) for number in range(1, OFFICES + 1)]
        maker = client_of(make_manufacturer(HONDA, TOYOTA))
        url = stack.enter_context(web_running(settings, processes=2))
        yield House(
            senders=stack.enter_context(Senders(url)),
            misfortunes=Misfortunes(worker, redis, offices, random),
            offices=offices,
            sellers=sellers,
            maker_token=token_of(app, maker),
            random=random,
        )


def _seller(app: Flask, offices: Offices, number: int) -> Seller:
    name = f"office-{number}"
    office, secret = make_signing_office(webhook_url=offices.url(name))
    offices.trust(name, secret)
    return Seller(name, office, token_of(app, client_of(office)))
