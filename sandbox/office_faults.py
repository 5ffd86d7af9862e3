"""The ways in which the fake offices can be ordered to misbehave, and their answers."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

from sandbox.orders import Order
from sandbox.server import DRIP_SECONDS, Manner, Reply, render

TEXT = "text/plain; charset=utf-8"


class OfficeFault(StrEnum):
    """A way in which an office can fail to confirm a webhook."""

    LATENCY = "latency"  # wait `seconds`; can be combined with any other fault
    STATUS = "status"  # answer `status` (500), with a Retry-After if `retry_after` is given
    REDIRECT = "redirect"  # answer `status` (307) with a `location` (another office)
    TIMEOUT = "timeout"  # never answer
    DISCONNECT = "disconnect"  # close the connection without an answer
    DRIP = "drip"  # the whole answer comes byte by byte, one every `seconds` (1)
    NO_HTTP = "no_http"  # answer, but not in HTTP


STATUSES = {status.value for status in HTTPStatus if status >= HTTPStatus.OK}
REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(kw_only=True)
class OfficeOrder(Order):
    """Misbehave at the webhooks of one office, or at all if `office` is None."""

    faults = OfficeFault
    options: ClassVar[Mapping[str, Set[str]]] = {
        OfficeFault.LATENCY: {"seconds"},
        OfficeFault.STATUS: {"status", "retry_after"},
        OfficeFault.REDIRECT: {"status", "location"},
        OfficeFault.DRIP: {"seconds"},
    }

    office: str | None = None
    location: str | None = None

    @property
    def subject(self) -> str | None:
        return self.office

    def check(self) -> None:
        for name, value in (("office", self.office), ("location", self.location)):
            if value is not None and not (isinstance(value, str) and value.isprintable()):
                raise ValueError(f"{name} must be a string of printable characters")
        possible = REDIRECTS if self.fault is OfficeFault.REDIRECT else STATUSES
        if self.status is not None and self.status not in possible:
            raise ValueError(f"status must be one of {', '.join(map(str, sorted(possible)))}")


def faulty_reply(office: str, right: Reply, order: OfficeOrder) -> Reply:
    """Return the ordered faulty answer instead of the right one."""
    return REPLIES[order.fault](office, right, order)


def _status(_office: str, _right: Reply, order: OfficeOrder) -> Reply:
    headers = [] if order.retry_after is None else [f"Retry-After: {order.retry_after}"]
    status = HTTPStatus(order.status or 500)
    return render(status, TEXT, f"{status} {status.phrase}, as ordered\n".encode(), *headers)


def _redirect(office: str, _right: Reply, order: OfficeOrder) -> Reply:
    # If a sender follows it, the webhook appears at that other office.
    location = order.location or f"/offices/{quote(office, safe='')}-redirected/webhooks"
    return render(order.status or 307, TEXT, b"This way\n", f"Location: {location}")


def _timeout(_office: str, _right: Reply, _order: OfficeOrder) -> Reply:
    return Reply(None, manner=Manner.SILENCE)


def _disconnect(_office: str, _right: Reply, _order: OfficeOrder) -> Reply:
    return Reply(None, manner=Manner.HANG_UP)


def _drip(_office: str, right: Reply, order: OfficeOrder) -> Reply:
    return right._replace(manner=Manner.DRIP_ALL, interval=order.seconds or DRIP_SECONDS)


def _no_http(_office: str, _right: Reply, _order: OfficeOrder) -> Reply:
    return Reply(None, b"This is not HTTP\r\n\r\n")


REPLIES: dict[str, Callable[[str, Reply, OfficeOrder], Reply]] = {
    OfficeFault.STATUS: _status,
    OfficeFault.REDIRECT: _redirect,
    OfficeFault.TIMEOUT: _timeout,
    OfficeFault.DISCONNECT: _disconnect,
    OfficeFault.DRIP: _drip,
    OfficeFault.NO_HTTP: _no_http,
}
