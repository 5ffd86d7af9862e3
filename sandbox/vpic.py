"""A fake of NHTSA's vPIC API, on a real port."""

import time
from typing import NamedTuple

from sandbox.catalogue import Catalogue
from sandbox.control import PREFIX
from sandbox.faults import Fault, VpicOrder
from sandbox.misbehaviour import misbehave
from sandbox.orders import OrderBook
from sandbox.pages import Page, Pages, method_not_allowed
from sandbox.server import Incoming, Reply, Server
from sandbox.vpic_control import control


class Request(NamedTuple):
    """A request the API got, with the answer's status, None where it gave no answer."""

    at: float  # time.monotonic(), which on Linux is the same clock in every process
    path: str  # with its query
    make_id: int | None
    status: int | None


class Vpic(Server):
    """Answers like vPIC until it is ordered to misbehave. Its methods may be called any time.

    Serves the sample catalogue unless another one is given; port 0 takes any free port.
    """

    def __init__(
        self, data: Catalogue | None = None, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        super().__init__(host, port)
        self.orders = OrderBook[VpicOrder]()
        self._log: list[Request] = []
        self._control = control(self)
        self.serve(data or Catalogue.sample())

    @property
    def url(self) -> str:
        """What NHTSA_URL has to be set to. Known once it was started."""
        return f"{self.origin}/api"

    def serve(self, catalogue: Catalogue) -> None:
        """Answer from `catalogue` from now on."""
        self._pages = Pages(catalogue)

    def order(
        self,
        fault: Fault,
        *,
        make_id: int | None = None,
        times: int | None = None,
        seconds: float | None = None,
        status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Misbehave at the requests for a make, or at every one, always or a number of times.

        `Fault` says which faults take the last three. `OrderBook` says how orders go together.
        Raises ValueError for options that make no sense.
        """
        self.orders.add(
            VpicOrder(
                fault=fault,
                make_id=make_id,
                times=times,
                seconds=seconds,
                status=status,
                retry_after=retry_after,
            )
        )

    def behave(self, *, make_id: int | None = None) -> None:
        """Forget the orders for one make, or all orders."""
        self.orders.forget(make_id)

    @property
    def requests(self) -> list[Request]:
        """The requests so far, oldest first, each from the moment it came in."""
        return list(self._log)

    @property
    def request_count(self) -> int:
        """How many requests came in so far."""
        return len(self._log)

    def forget_requests(self) -> None:
        """Begin the list of requests anew."""
        self._log = []

    def answer(self, incoming: Incoming) -> Reply:
        if incoming.target.startswith(PREFIX):
            return self._control.answer(incoming)
        page = self._page(incoming)
        wait, order = self.orders.take(page.make_id)
        reply = misbehave(page, order) if order else page.reply
        self._log.append(Request(time.monotonic(), page.target, page.make_id, reply.status))
        return reply._replace(wait=wait) if wait else reply

    def _page(self, incoming: Incoming) -> Page:
        if incoming.method != "GET":
            return method_not_allowed(incoming.method, incoming.target)
        return self._pages.find(incoming.target)
