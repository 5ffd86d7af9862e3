"""All kinds of callers that send requests at full speed."""

from __future__ import annotations

import io
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from flask import Flask
from PIL import Image

from automart.catalogue.seed import add_samples
from automart.core.db import transaction
from sandbox.office import Offices
from tests.hosts.callers import MAKES
from tests.support.inventory import booking_body, day, make_car
from tests.support.people import make_user
from tests.support.purchases import HONDA, client_of, make_manufacturer, make_signing_office, sale
from tests.support.storm.deployment import Machine

CALLERS = 8
DAYS = 20_000
# Of one request: how often a 503 with Retry-After is repeated.
MOST_REPEATS = 60


@dataclass(frozen=True)
class Parties:
    """The clients that call, and the resources that they use."""

    person: Machine
    office: Machine
    maker: Machine
    car: int


def make_parties(app: Flask, offices: Offices) -> Parties:
    with transaction():
        add_samples()
    office, _secret = make_signing_office(webhook_url=offices.url("office"))
    return Parties(
        person=Machine(app, make_user(is_admin=True)),
        office=Machine(app, client_of(office)),
        maker=Machine(app, client_of(make_manufacturer(HONDA))),
        car=make_car().id,
    )


@contextmanager
def mixed_load(url: str, parties: Parties) -> Iterator[Answers]:
    """Run callers. Yield what they have received so far."""
    answers = Answers()
    enough = threading.Event()
    callers = [Caller(url, parties, answers, enough) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield answers
    finally:
        enough.set()
        for caller in callers:
            caller.join()


@dataclass
class Answers:
    """The number of responses by operation and status, and of those that said "not yet"."""

    final: Counter[str] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)


class Caller(threading.Thread):
    """Plays all kinds of callers in turn, over one connection."""

    _lock = threading.Lock()

    def __init__(
        self, url: str, parties: Parties, answers: Answers, enough: threading.Event
    ) -> None:
        super().__init__(daemon=True)
        self._url, self._parties = url, parties
        self._answers, self._enough = answers, enough
        self._session = requests.Session()
        self._session.trust_env = False

    def run(self) -> None:
        weights = {
            self._read: 40,
            self._keep_customer: 10,
            self._book: 10,
            self._sell: 15,
            self._update_state: 10,
            self._sync: 2,
            self._import: 2,
            self._decode: 2,
            self._keep_model: 3,
        }
        with self._session:
            while not self._enough.is_set():
                random.choices(list(weights), list(weights.values()))[0]()

    def _read(self) -> None:
        paths = ("/v1/customers?q=load", "/v1/makes", "/v1/cars", "/jobs?limit=50", "/metrics")
        self._send("read", self._parties.person, "GET", random.choice(paths))

    def _keep_customer(self) -> None:
        """Add a customer, upload a photo, and delete the customer."""
        person, body = self._parties.person, {"first_name": "Load", "last_name": uuid.uuid4().hex}
        made = self._send("customer", person, "POST", "/v1/customers", json=body)
        if "id" in made:
            path = f"/v1/customers/{made['id']}"
            files = {"photo": ("photo.png", picture(), "image/png")}
            # The only operation whose 503 is documented.
            self._send("photo", person, "PUT", f"{path}/photo", MOST_REPEATS, files=files)
            self._send("customer", person, "DELETE", path)

    def _book(self) -> None:
        start = random.randrange(DAYS)
        body = booking_body(self._parties.car, day(start), day(start + 1))
        self._send("booking", self._parties.person, "POST", "/v1/bookings", json=body)

    def _sell(self) -> None:
        body = sale(uuid.uuid4().hex)
        self._send("sale", self._parties.office, "POST", "/v1/sales-webhook", json=body)

    def _update_state(self) -> None:
        """Cancel one of the oldest orders, which sends a webhook to the office."""
        path = "/v1/get-all-vehicles-for-manufacturing/Honda?limit=20"
        listed = self._send("orders", self._parties.maker, "GET", path).get("items")
        if listed:
            path = f"/v1/update-state-webhook/{random.choice(listed)['id']}"
            self._send("state", self._parties.maker, "POST", path, json={"state": "cancelled"})

    def _sync(self) -> None:
        makes = {"make_ids": random.sample(MAKES, 3)}
        self._send("sync", self._parties.person, "POST", "/v1/vehicle-syncs", json=makes)

    def _import(self) -> None:
        files = {"file": ("customers.csv", b"first_name,last_name\nLoad,Imported\n")}
        self._send("import", self._parties.person, "POST", "/v1/customers/imports", files=files)

    def _decode(self) -> None:
        body = {"vin": f"WBA{random.randrange(10**14):014d}"}
        self._send("decode", self._parties.person, "POST", "/v1/vin-decodings", json=body)

    def _keep_model(self) -> None:
        """Add a model of our own, rename it, and delete it."""
        person, body = self._parties.person, {"make_id": HONDA, "name": uuid.uuid4().hex}
        made = self._send("model", person, "POST", "/v1/models", json=body)
        if "id" in made:
            path = f"/v1/models/{made['id']}"
            self._send("model", person, "PATCH", path, json={"name": uuid.uuid4().hex})
            self._send("model", person, "DELETE", path)

    def _send(
        self, what: str, who: Machine, method: str, path: str, repeats: int = 0, **body: Any
    ) -> dict[str, Any]:
        """Send a request, count the response, and return its body, if that is an object.

        A 503 with `Retry-After` is repeated after that time, at most `repeats` times.
        """
        headers = {"Authorization": f"Bearer {who.token}"}
        try:
            answer = self._session.request(
                method, self._url + path, headers=headers, timeout=120, **body
            )
        except requests.RequestException as error:
            self._count(self._answers.final, f"{what} {type(error).__name__}")
            return {}
        seconds = answer.headers.get("Retry-After", "")
        if answer.status_code == 503 and seconds.isdecimal() and repeats:
            self._count(self._answers.repeats, f"{what}{_reason(answer)}")
            time.sleep(int(seconds))  # as the response asks
            return self._send(what, who, method, path, repeats - 1, **body)
        is_json = "json" in answer.headers.get("Content-Type", "")
        found = answer.json() if is_json else {}
        self._count(self._answers.final, f"{what} {answer.status_code}{_reason(answer)}")
        return found if isinstance(found, dict) else {}

    def _count(self, results: Counter[str], result: str) -> None:
        with self._lock:
            results[result] += 1


def _reason(answer: requests.Response) -> str:
    """Return why a response is an error of the server; nothing for others."""
    if answer.status_code < 500:
        return ""
    is_problem = "json" in answer.headers.get("Content-Type", "")
    detail = answer.json().get("detail") if is_problem else answer.text[:300]
    return f" (Retry-After: {answer.headers.get('Retry-After')}): {detail}"


def picture() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((640, 480), 50).save(file, "png")
    return file.getvalue()
