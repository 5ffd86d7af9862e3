"""The requests that the fake vPIC API has received."""

from typing import NamedTuple


class Request(NamedTuple):
    """A request and the status of its answer; None if it got no answer."""

    at: float  # time.monotonic(), which on Linux is the same clock in every process
    path: str  # with its query, or with the form of a POST
    make_id: int | None
    status: int | None


class RequestLog:
    """The requests so far, oldest first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._requests: list[Request] = []

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request) -> None:
        self._requests.append(request)

    def all(self) -> list[Request]:
        """Return a copy of the list."""
        return list(self._requests)

    def clear(self) -> None:
        """Delete all requests."""
        self._requests.clear()
