"""A client of many connections that costs little, as a program of its own.

It sends the same request over and over, on each connection one after the other, with other numbers
in it. `python benchmarks/load.py` reads a `Load` as JSON, and prints a `Result` as JSON.
"""

from __future__ import annotations

import itertools
import json
import re
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """Requests to a server on this machine.

    `template` is formatted with `%`: `number` is another one in each request, `row` is one of
    `rows` numbers from 1 on. The number has a fixed width where a body contains it.
    """

    port: int
    template: str
    rows: int
    connections: int
    seconds: float


@dataclass(frozen=True)
class Result:
    per_second: float
    p99_ms: float


def run(load: Load) -> Result:
    """Send requests from a process of its own. Raise `RuntimeError` if a response is not 2xx."""
    done = subprocess.run(
        [sys.executable, "-S", __file__],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Result(**json.loads(done.stdout))


class Connection:
    """A connection with one request under way. A request is repeated if the server closes it."""

    def __init__(self, load: Load, selector: selectors.BaseSelector) -> None:
        self._port, self._template, self._rows = load.port, load.template.encode(), load.rows
        self._selector = selector
        self._open()

    def _open(self) -> None:
        self._received = b""
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._socket, selectors.EVENT_READ, self)

    def send(self, number: int) -> None:
        # A prime, so that the rows are not in order.
        self._request = self._template % {b"row": number * 7919 % self._rows + 1, b"number": number}
        self._began = time.perf_counter()
        self._socket.sendall(self._request)

    def receive(self) -> float | None:
        """Return the seconds that the response took, or None if it is not complete yet."""
        try:
            part = self._socket.recv(1 << 18)
        except ConnectionError:
            part = b""
        if not part:
            self._repeat()
            return None
        self._received += part
        head, ended, body = self._received.partition(b"\r\n\r\n")
        if not ended:
            return None
        length = LENGTH.search(head)
        if length is None or not head.startswith(b"HTTP/1.1 2"):
            sys.exit(f"Not a success with a Content-Length: {self._received!r}")
        if len(body) < int(length[1]):
            return None
        self._received = b""
        return time.perf_counter() - self._began

    def _repeat(self) -> None:
        """Send the request again. The server replaces its processes from time to time."""
        if self._received:
            sys.exit(f"The connection was closed after {self._received!r}")
        self._selector.unregister(self._socket)
        self._socket.close()
        self._open()
        self._socket.sendall(self._request)


def send_all(load: Load) -> Result:
    numbers = itertools.count(time.time_ns() // 1_000_000)  # others than those of earlier runs
    selector = selectors.DefaultSelector()
    for _ in range(load.connections):
        Connection(load, selector).send(next(numbers))
    taken = []
    began = time.perf_counter()
    # At least one response: the replacement of a process may leave a gap.
    while (now := time.perf_counter()) < began + load.seconds or not taken:
        for key, _ in selector.select(timeout=load.seconds):
            seconds = key.data.receive()
            if seconds is not None:
                taken.append(seconds)
                key.data.send(next(numbers))
    taken.sort()
    return Result(len(taken) / (now - began), taken[len(taken) * 99 // 100] * 1000)


if __name__ == "__main__":
    print(json.dumps(asdict(send_all(Load(**json.load(sys.stdin))))))
