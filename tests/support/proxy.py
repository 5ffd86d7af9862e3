"""A TCP proxy between a client and a server, which can be ordered to disturb them."""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
import threading
from typing import Self
from urllib.parse import urlsplit

Address = tuple[str, int] | str
"""A host and port, or the path of a socket."""

LATENCY_SECONDS = 5.0
BYTES_PER_SECOND = 1024
PIECES_PER_SECOND = 4
CHUNK = 65_536


class Link(enum.StrEnum):
    """The condition of the network."""

    GOOD = "good"
    DOWN = "down"  # connections are refused, and open ones are closed
    RESET = "reset"  # connections are reset, also new ones
    LATENCY = "latency"  # all that the server sends is late
    HALF_OPEN = "half open"  # connections are accepted, and nothing passes any more
    SLOW = "slow"  # 1 KB/s in each direction


class Proxy:
    """Passes on what it gets, as `link` says. What is held back passes when the link is good again.

    It listens at `port` of 127.0.0.1.
    """

    def __init__(self, server: Address) -> None:
        self._server = server
        self._changed = threading.Condition()
        self._link = Link.GOOD
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._accept_in_thread()
        return self

    def __exit__(self, *_: object) -> None:
        self.set(Link.DOWN)

    def set(self, link: Link) -> None:
        """Change the condition of the network, also for open connections."""
        with self._changed:
            before, self._link = self._link, link
            self._changed.notify_all()
            open_now = list(self._open) if link in (Link.DOWN, Link.RESET) else []
        if link is Link.DOWN and before is not Link.DOWN:
            _shut(self._listener)
            self._listener.close()
        elif before is Link.DOWN and link is not Link.DOWN:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=200)
            self._accept_in_thread()
        for sock in open_now:
            self._cut(sock)

    def _accept_in_thread(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        if self._link in (Link.DOWN, Link.RESET):
            self._cut(client)
            return
        family = socket.AF_UNIX if isinstance(self._server, str) else socket.AF_INET
        server = socket.socket(family)
        try:
            server.connect(self._server)
        except OSError:
            self._cut(client)
            return
        with self._changed:
            self._open |= {client, server}
        threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
        self._pump(server, client, True)

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._pass_on(data, target, is_answer)
        with self._changed:
            # The other direction may go on, unless nothing can pass at all.
            self._changed.wait_for(lambda: self._link is not Link.HALF_OPEN)
            self._open -= {source}
            is_last = target not in self._open
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        if is_last:
            source.close()
            target.close()

    def _pass_on(self, data: bytes, target: socket.socket, is_answer: bool) -> None:
        with self._changed:
            if is_answer and self._link is Link.LATENCY:
                self._changed.wait_for(lambda: self._link is not Link.LATENCY, LATENCY_SECONDS)
            self._changed.wait_for(lambda: self._link is not Link.HALF_OPEN)
        size = BYTES_PER_SECOND // PIECES_PER_SECOND
        while data and self._link is Link.SLOW:
            target.sendall(data[:size])
            data = data[size:]
            with self._changed:
                self._changed.wait_for(lambda: self._link is not Link.SLOW, 1 / PIECES_PER_SECOND)
        target.sendall(data)

    def _cut(self, sock: socket.socket) -> None:
        """Close a connection, by a reset if the link says so."""
        with contextlib.suppress(OSError):
            if self._link is Link.RESET and sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        _shut(sock)


def address_of(url: str) -> tuple[str, int]:
    """Return the host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
