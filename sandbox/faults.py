"""The ways in which the fake vPIC can be ordered to misbehave."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from sandbox.orders import Order, check_integer


class Fault(StrEnum):
    """A way in which an answer can be wrong or late."""

    LATENCY = "latency"  # wait `seconds`; can be combined with any other fault
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


SERVER_ERRORS = (500, 502, 503)


@dataclass(kw_only=True)
class VpicOrder(Order):
    """Misbehave at the requests for one make, or at all if `make_id` is None."""

    faults = Fault
    options: ClassVar[Mapping[str, Set[str]]] = {
        Fault.LATENCY: {"seconds"},
        Fault.TOO_MANY_REQUESTS: {"retry_after"},
        Fault.SERVER_ERROR: {"status", "retry_after"},
        Fault.DRIP: {"seconds"},
    }

    make_id: int | None = None

    @property
    def subject(self) -> int | None:
        return self.make_id

    def check(self) -> None:
        check_integer("make_id", self.make_id, least=0)
        if self.status not in (None, *SERVER_ERRORS):
            raise ValueError("status must be 500, 502 or 503")
