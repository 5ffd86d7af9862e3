"""Regional offices that receive webhooks, on a real port."""

import re
import time
from urllib.parse import quote, unquote

from sandbox.control import PREFIX, as_json, error
from sandbox.office_control import create_office_control
from sandbox.office_faults import OfficeFault, OfficeOrder, faulty_reply
from sandbox.office_inbox import Inbox, Received, Secrets
from sandbox.office_pages import all_offices, one_office
from sandbox.orders import OrderBook
from sandbox.server import Incoming, Reply, Server

WEBHOOKS = re.compile(r"/offices/([^/]+)/webhooks")
PAGE = re.compile(r"/offices/([^/]+)/?")

ACCEPTED = as_json(200, {"message": "received"})


class Offices(Server):
    """Any number of offices, addressed by name. Methods may be called at any time, in any thread.

    An office accepts a webhook (200) and refuses one whose signature is wrong (401), until it is
    ordered to misbehave. An office without a secret accepts everything and verifies nothing.
    Port 0 takes any free port.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__(host, port)
        self.orders = OrderBook[OfficeOrder]()
        self._inbox = Inbox()
        self._secrets = Secrets()
        self._control = create_office_control(self.orders, self._inbox, self._secrets)

    def url(self, office: str) -> str:
        """Return the `webhook_url` of an office. The server must have been started."""
        return f"{self.origin}/offices/{quote(office, safe='')}/webhooks"

    def trust(self, office: str, *secrets: str) -> None:
        """Verify an office's webhooks by these secrets (`whsec_…`) only; one match is enough.

        Raise ValueError if a secret is malformed.
        """
        self._secrets.replace(office, *secrets)

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
        """Misbehave at the webhooks of an office, or of all: always, or a number of times.

        `OfficeFault` says which faults take the last four options, `OrderBook` how orders combine.
        Raise ValueError for options that make no sense.
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
        """Cancel the orders for one office, or all orders."""
        self.orders.cancel(office)

    def received(self, office: str | None = None) -> list[Received]:
        """Return the webhooks that an office, or all of them, received, oldest first."""
        return self._inbox.received(office)

    def clear(self, office: str | None = None) -> None:
        """Delete the received webhooks of an office, or of all."""
        self._inbox.clear(office)

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
            return all_offices(self.origin, self.received(), self._secrets.counts())
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
        reason = self._secrets.verification_error(office, incoming.body, incoming.headers)
        refused = reason is not None and self._secrets.counts().get(office)
        reply = error(401, reason or "") if refused else ACCEPTED
        wait, order = self.orders.take(office)
        if order:
            reply = faulty_reply(office, reply, order)
        self._inbox.add(
            Received(
                office=office,
                at=time.time(),
                verified=reason is None,
                reason=reason or "",
                headers=incoming.headers,
                body=incoming.body,
                status=reply.status,
            )
        )
        return reply._replace(wait=wait) if wait else reply
