"""The HTTP interface by which another process gives its orders to what the sandbox plays."""

import json
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

from sandbox.orders import AnyOrder, OrderBook
from sandbox.server import JSON, Incoming, Reply, render

PREFIX = "/_sandbox/"

Query = Mapping[str, Sequence[str]]
Action = Callable[[Query, bytes], Reply]
Actions = dict[str, Action]


class Control:
    """Answers the requests under /_sandbox/ by `actions`: of a path, one for each method.

    An action that raises ValueError answers 400 with its message.
    """

    def __init__(self, actions: Mapping[str, Actions]) -> None:
        self._actions = actions

    def answer(self, incoming: Incoming) -> Reply:
        """Carry out one request. A wrong one gets a 4xx with a message."""
        path, _, query = incoming.target.removeprefix(PREFIX).partition("?")
        actions = self._actions.get(path)
        if actions is None:
            return error(404, f"there are {', '.join(self._actions)}")
        action = actions.get(incoming.method)
        if action is None:
            allowed = ", ".join(actions)
            return error(405, f"{path} takes {allowed}", f"Allow: {allowed}")
        try:
            return action(parse_qs(query, keep_blank_values=True), incoming.body)
        except ValueError as mistake:
            return error(400, str(mistake))


def order_actions(
    book: OrderBook[AnyOrder],
    kind: type[AnyOrder],
    subject: Callable[[Query], object | None],
) -> Actions:
    """List, add and forget orders. `subject` reads from a query whose orders shall be forgotten."""

    def add(_query: Query, body: bytes) -> Reply:
        order = kind.from_json(json.loads(body))
        told = order.to_json()
        book.add(order)
        return as_json(201, told)

    def forget(query: Query, _body: bytes) -> Reply:
        book.forget(subject(query))
        return done()

    return {
        "GET": lambda _query, _body: as_json(200, {"orders": book.to_json()}),
        "POST": add,
        "DELETE": forget,
    }


def as_json(status: int, content: object, *headers: str) -> Reply:
    """An answer in JSON, ending in a new line for who reads it in a terminal."""
    return render(status, JSON, json.dumps(content).encode() + b"\n", *headers)


def error(status: int, message: str, *headers: str) -> Reply:
    """An answer that says what was wrong with a request."""
    return as_json(status, {"message": message}, *headers)


def done() -> Reply:
    """An answer without content."""
    return render(204, "", b"")
