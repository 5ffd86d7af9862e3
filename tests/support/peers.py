"""Servers that treat their clients as a test wants."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import NamedTuple, Self

from tests.support.limits import LIMIT


class Heard(NamedTuple):
    """A request: its first line, its header fields in lower case, and its body."""

    line: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """Listens on this machine, and calls `treat` for each connection in its own thread.

    What goes on at the same time must heed `stopped`: the test has ended then.
    """

    def __init__(
        self,
        treat: Callable[[Peer, socket.socket], object],
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.accepted = 0
        self.heard: list[Heard] = []
        self.stopped = threading.Event()
        self._treat = treat
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        return int(self._port)

    def __enter__(self) -> Self:
        self._port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(LIMIT)

    def hear(self, sock: socket.socket) -> None:
        """Read and store a request."""
        with sock.makefile("rb") as file:
            line = file.readline().decode().rstrip()
            headers = {}
            while field := file.readline().decode("latin-1").rstrip():
                name, _, value = field.partition(":")
                headers[name.lower()] = value.strip()
            self.heard.append(Heard(line, headers, file.read(int(headers["content-length"]))))

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was shut: the test has ended
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        # That the other side goes away in the middle is what many a test is about.
        with contextlib.suppress(OSError), connection:
            connection.settimeout(LIMIT)
            if self._tls is None:
                self._treat(self, connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secured:
                self._treat(self, secured)


def answering(data: bytes) -> Callable[[Peer, socket.socket], None]:
    """Read a request, send `data`, and close the connection."""

    def treat(peer: Peer, sock: socket.socket) -> None:
        peer.hear(sock)
        sock.sendall(data)

    return treat


def dripping(data: bytes, *, every: float) -> Callable[[Peer, socket.socket], None]:
    """Read a request, and send `data` byte by byte."""

    def treat(peer: Peer, sock: socket.socket) -> None:
        peer.hear(sock)
        for byte in data:
            sock.sendall(bytes([byte]))
            if peer.stopped.wait(every):
                return

    return treat


def silent(peer: Peer, sock: socket.socket) -> None:
    """Send nothing and read nothing."""
    peer.stopped.wait(LIMIT)
