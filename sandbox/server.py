"""A small HTTP/1.1 server in its own thread, which can also send malformed answers."""

import asyncio
import contextlib
import re
import socket
import threading
from abc import ABC, abstractmethod
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import NamedTuple, Self, cast

JSON = "application/json; charset=utf-8"
HTML = "text/html"
XML = "application/xml; charset=utf-8"

# The default pause between the bytes of an answer that drips.
DRIP_SECONDS = 1.0
LARGEST_HEAD = 64 * 1024
CONTENT_LENGTH = re.compile(r"\r\ncontent-length:[ \t]*(\d+)")


class Incoming(NamedTuple):
    """A request as it was received."""

    method: str
    target: str  # path and query
    body: bytes
    keep_alive: bool
    head: str  # request line and header fields, unparsed

    @property
    def headers(self) -> dict[str, str]:
        """The header fields by lower-case name; of repeated fields the last."""
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return {name.strip().lower(): value.strip() for name, _, value in lines}


class Manner(Enum):
    """How a reply is sent."""

    SEND = "send"
    DRIP = "drip"  # the body byte by byte
    DRIP_ALL = "drip all"  # the head and the body byte by byte
    HANG_UP = "hang up"  # close the connection without an answer
    SILENCE = "silence"  # keep the connection open and send nothing


class Reply(NamedTuple):
    """A rendered answer; it can be sent any number of times. `status` is None if there is none."""

    status: int | None
    data: bytes = b""  # head and body
    manner: Manner = Manner.SEND
    wait: float = 0.0  # seconds before the first byte
    interval: float = 0.0  # seconds between two bytes of a dripping body


def render(status: int, content_type: str, body: bytes, *headers: str) -> Reply:
    """Return head and body as one piece, so that they are sent in a single write."""
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *headers]
    if status != HTTPStatus.NO_CONTENT:
        head += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return Reply(status, "\r\n".join([*head, "\r\n"]).encode() + body)


class Server(ABC):
    """Serves what `answer` returns, in its own thread. Port 0 takes any free port."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port  # after `start` the actual port, if 0 was requested
        self.connections: set[_Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @abstractmethod
    def answer(self, incoming: Incoming) -> Reply:
        """Return the answer to a request. Called in the server's thread: it must not block."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def origin(self) -> str:
        """Scheme, host and port. The server must have been started."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Listen; after a `stop`, at the same port again. Raise OSError if the port is taken."""
        listener = socket.create_server((self.host, self.port))
        self.port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), sock=listener, backlog=1024)
        )
        self._thread = threading.Thread(
            target=self._run, args=(self._loop, server), name="sandbox-server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close all connections, also unanswered ones, and return when the port is free."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop = self._thread = None

    def release(self) -> None:
        """Send all answers at once that are being delayed. Later ones are delayed as ordered."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        for connection in list(self.connections):
            connection.release()

    def _run(self, loop: asyncio.AbstractEventLoop, server: asyncio.Server) -> None:
        loop.run_forever()
        for listener in server.sockets:
            _close_for_all(listener)
        server.close()
        for connection in list(self.connections):
            connection.hang_up()
        loop.run_until_complete(asyncio.sleep(0))  # lets the transports close their sockets
        loop.close()


class _Connection(asyncio.Protocol):
    """One client. Answers its requests one after the other, in the order of arrival."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._busy = False  # an answer is being sent, or will never be sent
        self._timer: asyncio.TimerHandle | None = None
        self._delayed: Callable[[], None] | None = None  # sends the answer that is being delayed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._advance()

    def release(self) -> None:
        """Send the answer that is being delayed, if there is one."""
        if self._delayed is not None and self._timer is not None:
            self._timer.cancel()
            self._delayed()

    def hang_up(self) -> None:
        """Close the connection at once and discard what has not been sent."""
        _close_for_all(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def _advance(self) -> None:
        while not self._busy:
            try:
                incoming = _take_request(self._buffer)
            except ValueError as error:
                self._busy = True
                self._transport.write(render(400, "text/plain", f"{error}\n".encode()).data)
                self._transport.close()
                return
            if incoming is None:
                return
            self._reply(incoming, self._server.answer(incoming))

    def _reply(self, incoming: Incoming, reply: Reply) -> None:
        self._busy = True
        if reply.wait:
            self._later(reply.wait, self._send, incoming, reply)
            self._delayed = partial(self._unless_closed, self._send, incoming, reply)
        else:
            self._send(incoming, reply)

    def _send(self, incoming: Incoming, reply: Reply) -> None:
        self._delayed = None
        match reply.manner:
            case Manner.SEND:
                self._transport.write(reply.data)
                self._conclude(incoming)
            case Manner.DRIP:
                head_end = reply.data.index(b"\r\n\r\n") + 4
                self._transport.write(reply.data[:head_end])
                self._drip(incoming, reply, head_end)
            case Manner.DRIP_ALL:
                self._drip(incoming, reply, 0)
            case Manner.HANG_UP:
                self.hang_up()
            case Manner.SILENCE:
                pass

    def _drip(self, incoming: Incoming, reply: Reply, position: int) -> None:
        if position == len(reply.data):
            self._conclude(incoming)
            return
        self._transport.write(reply.data[position : position + 1])
        self._later(reply.interval, self._drip, incoming, reply, position + 1)

    def _conclude(self, incoming: Incoming) -> None:
        self._busy = not incoming.keep_alive  # further requests on this connection are ignored
        if self._busy:
            self._transport.close()

    def _later(self, seconds: float, call: Callable[..., None], *args: object) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._unless_closed, call, *args)

    def _unless_closed(self, call: Callable[..., None], *args: object) -> None:
        if not self._transport.is_closing():
            call(*args)
            self._advance()


def _take_request(buffer: bytearray) -> Incoming | None:
    """Remove the first request from `buffer` and return it; None if it is incomplete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > LARGEST_HEAD:
            raise ValueError("the request's head is too large")
        return None
    head = buffer[:end].decode("latin-1")
    headers = head.lower()
    if "\r\ntransfer-encoding:" in headers:
        raise ValueError("this server needs a Content-Length instead of a Transfer-Encoding")
    length = CONTENT_LENGTH.search(headers)
    body_start = end + 4
    body_end = body_start + (int(length[1]) if length else 0)
    if len(buffer) < body_end:
        return None
    body = bytes(buffer[body_start:body_end])
    del buffer[:body_end]
    request_line = head.partition("\r\n")[0].split(" ")
    if len(request_line) != 3:
        raise ValueError("this is not an HTTP request")
    method, target, version = request_line
    keep_alive = version == "HTTP/1.1" and "\r\nconnection: close" not in headers
    return Incoming(method, target, body, keep_alive, head)


def _close_for_all(sock: socket.socket | TransportSocket) -> None:
    # A process forked from this one, such as a worker started by a test, holds copies of the
    # sockets. Closing ours would then leave the connection open; shutting it down does not.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
