"""The order of the decorators of a view, from the outermost to the innermost.

    @requires(USER)                     who may call; nothing is read before that is known
    @can_wait                           waits for the job, after the transaction has ended
    @blp.arguments(NewPurchase)         reads and checks the body, before any transaction is open
    @prepared(service.hash_password)    slow work, likewise
    @idempotent                         opens the transaction if there is an Idempotency-Key
    @blp.response(201, Purchase)        builds the answer, which is stored with the key
    def post(self, values): ...

A view in any other order does not start: its module raises `TypeError` when it is imported.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import wraps
from typing import Any

View = Callable[..., Any]


class Layer(enum.IntEnum):
    """The places of decorators, from the outermost to the innermost."""

    ACCESS = 1
    WAITING = 2
    ARGUMENTS = 3
    PREPARATION = 4
    IDEMPOTENCY = 5
    RESPONSE = 6


def in_layer(layer: Layer, view: View) -> View:
    """Mark `view` as wrapped by the decorator of `layer`. Raise `TypeError` if it is wrapped by one
    that belongs outside of it."""
    outer: Layer = vars(view).get("outermost_layer", Layer.RESPONSE)
    if outer < layer:
        raise TypeError(
            f"{view.__qualname__}: {layer.name} must be a decorator inside of {outer.name}."
            " The order is in automart/web/decorators.py."
        )
    vars(view)["outermost_layer"] = layer
    return view


def prepared(prepare: Callable[[Any], Any]) -> Callable[[View], View]:
    """Call `prepare` with the loaded body, and the view with its result.

    This is the place for slow work on a body: `@idempotent` opens a transaction around the view.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(self: Any, body: Any, *args: Any, **kwargs: Any) -> Any:
            return view(self, prepare(body), *args, **kwargs)

        return in_layer(Layer.PREPARATION, wrapper)

    return decorate
