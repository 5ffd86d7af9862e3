"""The HTTP interface by which another process controls a server of the sandbox."""

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
    """Answers requests under /_sandbox/. `actions` maps paths to methods to functions.

    If an action raises ValueError, the answer is 400 with its message.
    """

    def __init__(self, actions: Mapping[str, Actions]) -> None:
        self._actions = actions

    def answer(self, incoming: Incoming) -> Reply:
        """Carry out one request. Invalid requests are answered 4xx with a message."""
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
        except ValueError as reason:
            return error(400, str(reason))


def order_actions(
    book: OrderBook[AnyOrder],
    kind: type[AnyOrder],
    subject: Callable[[Query], object | None],
) -> Actions:
    """Return the actions that list, add and cancel orders.

    `subject` reads from a query whose orders to cancel.
    """

    def add(_query: Query, body: bytes) -> Reply:
        order = kind.from_json(json.loads(body))
        answer = as_json(201, order.to_json())  # before `times` can be counted down
        book.add(order)
        return answer

    def cancel(query: Query, _body: bytes) -> Reply:
        book.cancel(subject(query))
        return no_content()

    return {
        "GET": lambda _query, _body: as_json(200, {"orders": book.to_json()}),
        "POST": add,
        "DELETE": cancel,
    }


def as_json(status: int, content: object, *headers: str) -> Reply:
    """Return an answer in JSON. It ends in a newline, for reading in a terminal."""
    return render(status, JSON, json.dumps(content).encode() + b"\n", *headers)


def error(status: int, message: str, *headers: str) -> Reply:
    """Return an answer that says what is wrong with a request."""
    return as_json(status, {"message": message}, *headers)


def no_content() -> Reply:
    """Return an answer without content."""
    return render(204, "", b"")
