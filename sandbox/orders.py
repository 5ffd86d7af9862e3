"""Orders to misbehave: their common base class, and the book of those in force."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar, Generic, Self, TypeVar

LATENCY = "latency"


@dataclass(kw_only=True)
class Order(ABC):
    """Commit a fault at the requests that concern a subject, or at all requests.

    `times` is the number of requests still to spoil; None means all. `options` says which other
    options a fault takes; latency always needs `seconds`. Raise ValueError for options that make
    no sense.
    """

    faults: ClassVar[type[StrEnum]]
    options: ClassVar[Mapping[str, Set[str]]]  # by fault; a fault that is not listed takes none

    fault: StrEnum
    times: int | None = None
    seconds: float | None = None
    status: int | None = None
    retry_after: int | None = None

    @property
    @abstractmethod
    def subject(self) -> object | None:
        """The subject whose requests it concerns; None for all requests."""

    @property
    def delays(self) -> bool:
        """Whether it makes an answer late instead of wrong."""
        return self.fault == LATENCY

    def __post_init__(self) -> None:
        if not isinstance(self.fault, str) or self.fault not in list(self.faults):
            raise ValueError(f"fault must be one of {', '.join(self.faults)}")
        self.fault = self.faults(self.fault)
        check_integer("times", self.times, least=1)
        check_integer("retry_after", self.retry_after, least=0)
        check_integer("status", self.status, least=0)
        self._check_seconds()
        self.check()
        taken = self.options.get(self.fault, set())
        for option in set().union(*self.options.values()) - taken:
            if getattr(self, option) is not None:
                raise ValueError(f"{self.fault} takes no {option}")

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError if the options of the subclass make no sense."""

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Return the order that a JSON object of the control interface describes."""
        if not isinstance(content, dict):
            raise ValueError("an order is a JSON object")  # noqa: TRY004 -- the value came from outside
        unknown = sorted(content.keys() - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"an order has no {', '.join(unknown)}")
        if "fault" not in content:
            raise ValueError("an order needs a fault")
        return cls(**content)

    def to_json(self) -> dict[str, Any]:
        """Return the options that are set, under the names that `from_json` takes."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def _check_seconds(self) -> None:
        if self.seconds is None:
            if self.delays:
                raise ValueError("latency needs seconds")
            return
        is_number = isinstance(self.seconds, int | float) and not isinstance(self.seconds, bool)
        if not is_number or not 0 < self.seconds <= 3600:
            raise ValueError("seconds must be a number above 0 and at most 3600")


AnyOrder = TypeVar("AnyOrder", bound=Order)


class OrderBook(Generic[AnyOrder]):
    """The orders in force. Safe to use from several threads.

    An order for a subject takes precedence over one for all requests. Orders with `times` are
    carried out first, in the order in which they were added; then the last order without `times`
    applies. Latency is independent of the other faults: an answer can be both late and wrong.
    """

    def __init__(self) -> None:
        self._orders: dict[object | None, list[AnyOrder]] = {}
        self._lock = threading.Lock()

    def add(self, order: AnyOrder) -> None:
        """Add an order. One without `times` replaces the one without `times` of its subject."""
        with self._lock:
            orders = self._orders.setdefault(order.subject, [])
            if order.times is None:
                orders[:] = [
                    other for other in orders if other.times or other.delays != order.delays
                ]
            orders.append(order)

    def take(self, subject: object | None) -> tuple[float, AnyOrder | None]:
        """Return the seconds to wait and the order to carry out at a request, and count it."""
        if not self._orders:
            return 0.0, None
        with self._lock:
            latency = self._next(subject, delays=True)
            order = self._next(subject, delays=False)
        return (latency.seconds or 0.0 if latency else 0.0), order

    def cancel(self, subject: object | None = None) -> None:
        """Cancel the orders for one subject, or with None all orders."""
        with self._lock:
            if subject is None:
                self._orders.clear()
            else:
                self._orders.pop(subject, None)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the orders in force, with their remaining `times`."""
        with self._lock:
            return [order.to_json() for orders in self._orders.values() for order in orders]

    def _next(self, subject: object | None, *, delays: bool) -> AnyOrder | None:
        for key in (subject, None):
            orders = self._orders.get(key, [])
            candidates = [order for order in orders if order.delays is delays]
            if candidates:
                order = min(candidates, key=lambda order: order.times is None)
                self._count(order)
                return order
        return None

    def _count(self, order: AnyOrder) -> None:
        if order.times is None:
            return
        order.times -= 1
        if order.times == 0:
            orders = self._orders[order.subject]
            orders[:] = [other for other in orders if other is not order]
            if not orders:
                del self._orders[order.subject]


def check_integer(name: str, value: object, *, least: int) -> None:
    """Raise ValueError unless `value` is None or an integer of at least `least`."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}")
