"""A client of many connections that costs little, as a program of its own.

It sends the same request over and over, on each connection one after the other, with other numbers
in it. `python benchmarks/load.py` reads a `Load` as JSON, and prints a `Result` as JSON.
"""

from __future__ import annotations

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
    """A connection with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._began = 0.0

    def send(self, request: bytes) -> None:
        self._began = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> float | None:
        """Return the seconds that the response took, or None if it is not complete yet."""
        part = self.socket.recv(1 << 18)
        self._received += part
        head, ended, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head) if ended else None
        if ended and (length is None or not head.startswith(b"HTTP/1.1 2")):
            sys.exit(f"Not a success with a Content-Length: {self._received!r}")
        if not part:
            sys.exit("The connection was closed.")
        if length is None or len(body) < int(length[1]):
            return None
        self._received = b""
        return time.perf_counter() - self._began


def send_all(load: Load) -> Result:
    template = load.template.encode()
    number = time.time_ns() // 1_000_000  # no run repeats the numbers of another
    selector = selectors.DefaultSelector()

    def send_next(connection: Connection) -> None:
        nonlocal number
        number += 1
        # A prime, so that the rows are not in order.
        row = number * 7919 % load.rows + 1
        connection.send(template % {b"row": row, b"number": number})

    for _ in range(load.connections):
        connection = Connection(load.port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        send_next(connection)
    taken = []
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + load.seconds:
        for key, _ in selector.select(timeout=load.seconds):
            seconds = key.data.receive()
            if seconds is not None:
                taken.append(seconds)
                send_next(key.data)
    taken.sort()
    return Result(len(taken) / (now - began), taken[len(taken) * 99 // 100] * 1000)


if __name__ == "__main__":
    print(json.dumps(asdict(send_all(Load(**json.load(sys.stdin))))))
