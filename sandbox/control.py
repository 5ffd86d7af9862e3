"""The HTTP interface by which another process gives the fake API its orders.

With URL=http://127.0.0.1:8001:

    curl $URL/_sandbox/requests                       what was asked; ?count=1 for the number only
    curl -X DELETE $URL/_sandbox/requests             begin anew
    curl $URL/_sandbox/orders                         the orders in force
    curl -d '{"fault": "forbidden", "make_id": 448}' $URL/_sandbox/orders
    curl -X DELETE $URL/_sandbox/orders               forget them; ?make_id=448 for one make's only
    curl -T models.csv $URL/_sandbox/data             other data: columns as in data/models.csv
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from sandbox.catalogue import Catalogue
from sandbox.faults import Order
from sandbox.server import JSON, Incoming, Reply, render

if TYPE_CHECKING:
    from sandbox.vpic import Vpic

PREFIX = "/_sandbox/"

Query = Mapping[str, Sequence[str | None]]
Action = Callable[[Query, bytes], Reply]


class Control:
    """Answers the requests under /_sandbox/."""

    def __init__(self, vpic: "Vpic") -> None:
        self._vpic = vpic
        self._actions: dict[str, dict[str, Action]] = {
            "requests": {"GET": self._list_requests, "DELETE": self._forget_requests},
            "orders": {"GET": self._list_orders, "POST": self._order, "DELETE": self._behave},
            "data": {"PUT": self._serve},
        }

    def answer(self, incoming: Incoming) -> Reply:
        """Carry out one request. A wrong one gets a 4xx with a message."""
        path, _, query = incoming.target.removeprefix(PREFIX).partition("?")
        actions = self._actions.get(path)
        if actions is None:
            return _error(404, f"there are {', '.join(self._actions)}")
        action = actions.get(incoming.method)
        if action is None:
            allowed = ", ".join(actions)
            return _error(405, f"{path} takes {allowed}", f"Allow: {allowed}")
        try:
            return action(parse_qs(query, keep_blank_values=True), incoming.body)
        except ValueError as error:
            return _error(400, str(error))

    def _list_requests(self, query: Query, body: bytes) -> Reply:
        if "count" in query:
            return _json(200, {"count": self._vpic.request_count})
        requests = [request._asdict() for request in self._vpic.requests]
        return _json(200, {"count": len(requests), "requests": requests})

    def _forget_requests(self, query: Query, body: bytes) -> Reply:
        self._vpic.forget_requests()
        return _done()

    def _list_orders(self, query: Query, body: bytes) -> Reply:
        return _json(200, {"orders": self._vpic.orders.to_json()})

    def _order(self, query: Query, body: bytes) -> Reply:
        order = Order.from_json(json.loads(body))
        self._vpic.orders.add(order)
        return _json(201, order.to_json())

    def _behave(self, query: Query, body: bytes) -> Reply:
        make_id = query.get("make_id", [None])[0]
        if make_id is not None and not make_id.isdecimal():
            raise ValueError("make_id must be a whole number")
        self._vpic.orders.forget(int(make_id) if make_id else None)
        return _done()

    def _serve(self, query: Query, body: bytes) -> Reply:
        catalogue = Catalogue.from_csv_text(body.decode())
        self._vpic.serve(catalogue)
        models = sum(len(models) for models in catalogue.models.values())
        return _json(200, {"makes": len(catalogue.makes), "models": models})


def _json(status: int, content: object, *headers: str) -> Reply:
    return render(status, JSON, json.dumps(content).encode() + b"\n", *headers)


def _error(status: int, message: str, *headers: str) -> Reply:
    return _json(status, {"message": message}, *headers)


def _done() -> Reply:
    return render(204, "", b"")
