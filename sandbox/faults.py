"""The ways in which the fake API can be ordered to misbehave, and the orders in force."""

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """What can go wrong with an answer."""

    LATENCY = "latency"  # wait `seconds`; goes together with any other fault
    FORBIDDEN = "forbidden"  # 403 with an HTML page, as the content network in front sends it
    TOO_MANY_REQUESTS = "too_many_requests"  # 429, with a Retry-After if `retry_after` is given
    SERVER_ERROR = "server_error"  # `status` 500, 502 or 503, and `retry_after` as above
    TIMEOUT = "timeout"  # never answer
    DISCONNECT = "disconnect"  # close the connection without an answer
    HTML = "html"  # 200 with an HTML page
    BROKEN_JSON = "broken_json"  # 200, the JSON cut off
    WRONG_SHAPE = "wrong_shape"  # 200, valid JSON without `Results`
    EMPTY = "empty"  # a well-formed envelope without rows
    TRUNCATED = "truncated"  # rows are missing, but `Count` gives the full number
    FOREIGN_MAKE = "foreign_make"  # the last row has another Make_ID
    DUPLICATE_ID = "duplicate_id"  # one more row, with the id of the last one
    BLANK_NAME = "blank_name"  # the last row's name is blanks
    DRIP = "drip"  # the body comes byte by byte, one every `seconds`
    HUGE = "huge"  # a correct body followed by many MB of blanks, which JSON allows


OPTIONS = {
    Fault.LATENCY: {"seconds"},
    Fault.TOO_MANY_REQUESTS: {"retry_after"},
    Fault.SERVER_ERROR: {"status", "retry_after"},
    Fault.DRIP: {"seconds"},
}
SERVER_ERRORS = (500, 502, 503)


@dataclass(slots=True)
class Order:
    """Misbehave for one make, or with `make_id` None at every request.

    `times` is how often still; None means always. Raises ValueError for options that make no
    sense.
    """

    fault: Fault
    make_id: int | None = None
    times: int | None = None
    seconds: float | None = None
    status: int | None = None
    retry_after: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.fault, str) or self.fault not in list(Fault):
            raise ValueError(f"fault must be one of {', '.join(Fault)}")
        self.fault = Fault(self.fault)
        _check_integer("make_id", self.make_id, least=0)
        _check_integer("times", self.times, least=1)
        _check_integer("retry_after", self.retry_after, least=0)
        _check_integer("status", self.status, least=0)
        self._check_seconds()
        if self.status not in (None, *SERVER_ERRORS):
            raise ValueError("status must be 500, 502 or 503")
        for option in ("seconds", "status", "retry_after"):
            if getattr(self, option) is not None and option not in OPTIONS.get(self.fault, ()):
                raise ValueError(f"{self.fault} takes no {option}")

    @classmethod
    def from_json(cls, content: object) -> "Order":
        """Read an order as the control interface takes it."""
        if not isinstance(content, dict):
            raise ValueError("an order is a JSON object")  # noqa: TRY004 -- it came from outside
        unknown = sorted(content.keys() - set(cls.__slots__))
        if unknown:
            raise ValueError(f"an order has no {', '.join(unknown)}")
        if "fault" not in content:
            raise ValueError("an order needs a fault")
        return cls(**content)

    def to_json(self) -> dict[str, Any]:
        """Give the options that are set, under the names `from_json` takes."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}

    def _check_seconds(self) -> None:
        if self.seconds is None:
            if self.fault is Fault.LATENCY:
                raise ValueError("latency needs seconds")
            return
        is_number = isinstance(self.seconds, int | float) and not isinstance(self.seconds, bool)
        if not is_number or not 0 < self.seconds <= 3600:
            raise ValueError("seconds must be a number above 0 and at most 3600")


class OrderBook:
    """The orders in force. Safe to use from several threads.

    An order for a make goes before one for every request. Orders with `times` are carried out
    first, one after the other as they were given; then the last order without `times` holds.
    Latency is reckoned apart from the other faults, so that a make can be slow and wrong.
    """

    def __init__(self) -> None:
        self._orders: dict[int | None, list[Order]] = {}
        self._lock = threading.Lock()

    def add(self, order: Order) -> None:
        """Put an order in force. A standing one replaces the standing one of its make."""
        with self._lock:
            orders = self._orders.setdefault(order.make_id, [])
            if order.times is None:
                orders[:] = [
                    other for other in orders if other.times or _delays(other) != _delays(order)
                ]
            orders.append(order)

    def take(self, make_id: int | None) -> tuple[float, Order | None]:
        """Return the seconds to wait and the fault to commit at a request, and count it."""
        if not self._orders:
            return 0.0, None
        with self._lock:
            latency = self._next(make_id, delays=True)
            order = self._next(make_id, delays=False)
        return (latency.seconds or 0.0 if latency else 0.0), order

    def forget(self, make_id: int | None = None) -> None:
        """Drop the orders for one make, or with None all orders."""
        with self._lock:
            if make_id is None:
                self._orders.clear()
            else:
                self._orders.pop(make_id, None)

    def to_json(self) -> list[dict[str, Any]]:
        """List the orders in force, with the `times` still to come."""
        with self._lock:
            return [order.to_json() for orders in self._orders.values() for order in orders]

    def _next(self, make_id: int | None, *, delays: bool) -> Order | None:
        for key in (make_id, None):
            orders = self._orders.get(key, [])
            candidates = [order for order in orders if _delays(order) is delays]
            if candidates:
                order = min(candidates, key=lambda order: order.times is None)
                self._count(order)
                return order
        return None

    def _count(self, order: Order) -> None:
        if order.times is None:
            return
        order.times -= 1
        if order.times == 0:
            orders = self._orders[order.make_id]
            orders[:] = [other for other in orders if other is not order]
            if not orders:
                del self._orders[order.make_id]


def _delays(order: Order) -> bool:
    return order.fault is Fault.LATENCY


def _check_integer(name: str, value: object, *, least: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}")
