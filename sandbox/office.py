"""Offices that receive webhooks, on a real port."""

import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from standardwebhooks.webhooks import (
    EmptyWebhookSecretError,
    Webhook,
    WebhookVerificationError,
)

from sandbox.control import PREFIX, as_json, error
from sandbox.office_control import control
from sandbox.office_faults import OfficeFault, OfficeOrder, misbehave
from sandbox.office_pages import all_offices, one_office
from sandbox.orders import OrderBook
from sandbox.server import Incoming, Reply, Server

WEBHOOKS = re.compile(r"/offices/([^/]+)/webhooks")
PAGE = re.compile(r"/offices/([^/]+)/?")


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook as an office got it, and what it answered: None for no answer.

    `reason` says what is wrong with one that is not `verified`.
    """

    office: str
    at: float  # time.time()
    verified: bool
    reason: str
    headers: dict[str, str]  # by their names in small letters
    body: bytes
    status: int | None

    @property
    def webhook_id(self) -> str | None:
        return self.headers.get("webhook-id")


class Offices(Server):
    """Any number of offices, each under its name. Methods may be called any time, from any thread.

    An office takes a webhook (200) and refuses one whose signature is wrong (401), until it is
    ordered to misbehave. Without a secret it takes everything, and verifies nothing. Port 0 takes
    any free port.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__(host, port)
        self.orders = OrderBook[OfficeOrder]()
        self._secrets: dict[str, tuple[Webhook, ...]] = {}
        self._log: list[Received] = []
        self._log_lock = threading.Lock()
        self._control = control(self)

    def url(self, office: str) -> str:
        """What an office's `webhook_url` has to be set to. Known once it was started."""
        return f"{self.origin}/offices/{quote(office, safe='')}/webhooks"

    def trust(self, office: str, *secrets: str) -> None:
        """From now on, verify by these secrets (`whsec_…`) and no others; one of them must do.

        Raises ValueError for a secret that is none.
        """
        self._secrets[office] = tuple(_webhook(secret) for secret in secrets)

    @property
    def secret_counts(self) -> dict[str, int]:
        """How many secrets each office knows that was told any."""
        return {office: len(secrets) for office, secrets in self._secrets.items()}

    def order(
        self,
        fault: OfficeFault,
        *,
        office: str | None = None,
        times: int | None = None,
        seconds: float | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        location: str | None = None,
    ) -> None:
        """Misbehave at the webhooks of an office, or of all, always or a number of times.

        `OfficeFault` says which faults take the last four. `OrderBook` says how orders go
        together. Raises ValueError for options that make no sense.
        """
        self.orders.add(
            OfficeOrder(
                fault=fault,
                office=office,
                times=times,
                seconds=seconds,
                status=status,
                retry_after=retry_after,
                location=location,
            )
        )

    def behave(self, *, office: str | None = None) -> None:
        """Forget the orders for one office, or all orders."""
        self.orders.forget(office)

    def received(self, office: str | None = None) -> list[Received]:
        """The webhooks that an office got, or all did, oldest first."""
        return [one for one in list(self._log) if office in (None, one.office)]

    def forget(self, office: str | None = None) -> None:
        """Begin the list of webhooks anew, of one office or of all."""
        with self._log_lock:
            self._log = [one for one in self._log if office not in (None, one.office)]

    def answer(self, incoming: Incoming) -> Reply:
        path = incoming.target.partition("?")[0]
        if path.startswith(PREFIX):
            return self._control.answer(incoming)
        if found := WEBHOOKS.fullmatch(path):
            return self._at_webhooks(unquote(found[1]), incoming)
        if incoming.method != "GET":
            return error(404, "webhooks are posted to /offices/NAME/webhooks")
        if found := PAGE.fullmatch(path):
            office = unquote(found[1])
            return one_office(office, self.received(office))
        if path == "/":
            return all_offices(self.origin, self._log, self.secret_counts)
        return error(404, "there are /, /offices/NAME and /offices/NAME/webhooks")

    def _at_webhooks(self, office: str, incoming: Incoming) -> Reply:
        if incoming.method == "POST":
            return self._receive(office, incoming)
        if incoming.method == "GET":
            return self._control.answer(
                incoming._replace(target=f"{PREFIX}webhooks?office={quote(office, safe='')}")
            )
        return error(405, "webhooks are posted, and can be listed with GET", "Allow: GET, POST")

    def _receive(self, office: str, incoming: Incoming) -> Reply:
        headers = incoming.headers
        secrets = self._secrets.get(office, ())
        reason = _why_not_verified(incoming.body, headers, secrets)
        wait, order = self.orders.take(office)
        reply = TAKEN if reason is None or not secrets else error(401, reason)
        if order:
            reply = misbehave(office, reply, order)
        received = Received(
            office=office,
            at=time.time(),
            verified=reason is None,
            reason=reason or "",
            headers=headers,
            body=incoming.body,
            status=reply.status,
        )
        with self._log_lock:
            self._log.append(received)
        return reply._replace(wait=wait) if wait else reply


TAKEN = as_json(200, {"message": "received"})


def _webhook(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as mistake:
        raise ValueError(f"a secret looks like whsec_…, in base64: {mistake}") from None


def _why_not_verified(
    body: bytes, headers: dict[str, str], secrets: Iterable[Webhook]
) -> str | None:
    reason = "no secret is known"
    for secret in secrets:
        try:
            secret.verify(body, headers, json_parse=False)
        except WebhookVerificationError as mistake:
            reason = str(mistake)
        except ValueError:  # the library does not look for what cannot be decoded at all
            reason = "The signature or the body cannot be decoded"
        else:
            return None
    return reason
