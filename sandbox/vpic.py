"""A fake of NHTSA's vPIC API, on a real port."""

import time

from sandbox.catalogue import Catalogue
from sandbox.control import PREFIX
from sandbox.faults import Fault, VpicOrder
from sandbox.misbehaviour import faulty_answer
from sandbox.orders import OrderBook
from sandbox.pages import VINS, Page, Pages, decoding, method_not_allowed
from sandbox.server import Incoming, Reply, Server
from sandbox.vpic_control import create_vpic_control
from sandbox.vpic_log import Request, RequestLog


class Vpic(Server):
    """Answers like vPIC until it is ordered to misbehave. Methods may be called at any time.

    Serves the sample catalogue unless another one is given; port 0 takes any free port.
    """

    def __init__(
        self, data: Catalogue | None = None, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        super().__init__(host, port)
        self.orders = OrderBook[VpicOrder]()
        self._log = RequestLog()
        self._control = create_vpic_control(self.orders, self._log, self.serve)
        self.serve(data or Catalogue.sample())

    @property
    def url(self) -> str:
        """The value for NHTSA_URL. The server must have been started."""
        return f"{self.origin}/api"

    def serve(self, catalogue: Catalogue) -> None:
        """Replace the catalogue that is served."""
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
        """Misbehave at the requests for a make, or at all: always, or a number of times.

        `Fault` says which faults take the last three options, `OrderBook` how orders combine.
        Raise ValueError for options that make no sense.
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
        """Cancel the orders for one make, or all orders.

        Answers that are being delayed stay so, until `release` sends them.
        """
        self.orders.cancel(make_id)

    @property
    def requests(self) -> list[Request]:
        """The requests so far, oldest first. A request is listed as soon as it arrives."""
        return self._log.all()

    @property
    def request_count(self) -> int:
        """The number of requests so far."""
        return len(self._log)

    def clear_requests(self) -> None:
        """Delete the list of requests."""
        self._log.clear()

    def answer(self, incoming: Incoming) -> Reply:
        if incoming.target.startswith(PREFIX):
            return self._control.answer(incoming)
        page = self._page(incoming)
        wait, order = self.orders.take(page.make_id)
        reply = faulty_answer(page, order) if order else page.reply
        self._log.add(Request(time.monotonic(), page.target, page.make_id, reply.status))
        return reply._replace(wait=wait) if wait else reply

    def _page(self, incoming: Incoming) -> Page:
        decodes_vins = VINS.fullmatch(incoming.target.partition("?")[0]) is not None
        if decodes_vins and incoming.method == "POST":
            return decoding(incoming.target, incoming.body)
        if decodes_vins or incoming.method != "GET":
            return method_not_allowed(incoming.method, incoming.target)
        return self._pages.find(incoming.target)
