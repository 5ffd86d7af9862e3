"""A connected socket for one exchange, bounded in time and in what it receives."""

from __future__ import annotations

import io
import re
import socket
import time
from http.client import LineTooLong
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LARGEST_HEAD = 65_536
# Far more than the text that is kept needs, chunk sizes and their extensions included.
LARGEST_RESPONSE_BODY = 65_536

_PIECE = 16_384
# The most that http.client accepts, without the empty line at the end.
_MOST_LINES = 100
# RFC 9110 §15.2. Not 101: another protocol would follow it, and no other response.
_INTERIM = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d\b")


class Deadline:
    """The moment `seconds` from now, by which everything must be done."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self, shares: int = 1) -> float:
        """Return the seconds left, divided into `shares`. Raises TimeoutError if none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left / shares


class Transport:
    """What `http.client` uses of a socket. The caller closes the socket itself.

    A socket's own timeout starts anew with each operation: a server that sends one byte a second
    would never reach it. Here every operation has only what is left until the deadline.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send `data` in pieces, as TLS applies a timeout to each record and not to the whole."""
        for start in range(0, len(data), _PIECE):
            self._sock.settimeout(self._deadline.left())
            self._sock.sendall(data[start : start + _PIECE])

    def makefile(self, _mode: str) -> io.BufferedIOBase:
        """Return a file that begins with the head of the final response."""
        received = _Received(self._sock, self._deadline)
        buffered = io.BufferedReader(received)
        head = _read_final_head(received, buffered)
        return io.BufferedReader(_Prefixed(head, buffered))

    def settimeout(self, _timeout: object) -> None:
        """Do nothing: the deadline applies."""

    def close(self) -> None:
        """Do nothing: the connection lets go of its socket before the body is read."""


class _Received(io.RawIOBase):
    """Reads from a socket until the deadline, and at most `left` bytes."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.left = LARGEST_HEAD
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self.left <= 0:
            raise LineTooLong("response")
        self._sock.settimeout(self._deadline.left())
        count = self._sock.recv_into(memoryview(buffer)[: self.left])
        self.left -= count
        return count


class _Prefixed(io.RawIOBase):
    """`prefix`, followed by the rest of `file`."""

    def __init__(self, prefix: bytes, file: io.BufferedIOBase) -> None:
        self._prefix = io.BytesIO(prefix)
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._prefix.readinto(buffer) or self._file.readinto1(buffer)


def _read_final_head(received: _Received, buffered: io.BufferedIOBase) -> bytes:
    """Read the head of the final response, past interim ones.

    If it is too large, return the lines that fit: its status says whether a webhook was delivered.
    Raises LineTooLong if not even the status line fits.
    """
    lines: list[bytes] = []
    try:
        while line := buffered.readline():
            lines.append(line)
            if line not in (b"\r\n", b"\n"):
                continue
            if not _INTERIM.match(lines[0]):
                received.left += LARGEST_RESPONSE_BODY
                break
            lines.clear()
    except LineTooLong:
        if not lines or _INTERIM.match(lines[0]):
            raise
        lines.append(b"\r\n")
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [b"\r\n"]
    return b"".join(lines)
