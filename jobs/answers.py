"""The answer to a webhook, read as far as it is of interest: never for long, never without end."""

from __future__ import annotations

import codecs
import datetime as dt
import io
import re
import socket
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse, LineTooLong
from typing import TYPE_CHECKING

from jobs.deadline import Deadline

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST_TEXT = 2048
# Far more than a head and that much text take. Who sends more than this means no good.
MOST_BYTES = 131_072

_CHUNK = 1024
# RFC 9110 §15.2. After a 101 another protocol would begin, and no other answer comes.
_INTERIM = frozenset(range(100, 200)) - {101}
_SECONDS = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.ASCII | re.IGNORECASE)
# Python takes for a charset much that is none, such as "idna" or "unicode_escape".
_READ_CHARSETS = re.compile(
    r"utf-8(-sig)?|ascii|iso8859-\d+|cp\d+|koi8-\w|euc_\w+|gb\w+|big5|shift_jis"
)
# What PostgreSQL or a log cannot take: control characters and halves of surrogate pairs.
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said.

    `text` is the first 2,048 characters of the body, fit for a database and a log. `retry_after`
    is for how many seconds it wants to be left alone, None if it did not say so.
    """

    status: int
    text: str
    retry_after: float | None


def read_answer(sock: socket.socket, deadline: Deadline) -> Answer:
    """Read as much of an answer as is needed. Raises OSError or HTTPException.

    It is given once its head is complete. The body is for the log only: of one that breaks off,
    or does not end in time, there is as much as came.
    """
    response = _Response(sock, deadline)
    response.begin()
    retry_after = seconds_to_wait(response.headers.get("Retry-After"), time.time())
    return Answer(response.status, _text(response), retry_after)


def seconds_to_wait(retry_after: str | None, now: float) -> float | None:
    """Read a Retry-After (RFC 9110 §10.2.3); None if there is none, or none that makes sense."""
    told = (retry_after or "").strip()
    if _SECONDS.fullmatch(told):
        return max(float(told), 0.0)
    try:
        date = parsedate_to_datetime(told)
    except (ValueError, OverflowError):
        return None
    # The form of asctime names no zone. All dates in HTTP are in UTC.
    return max(date.replace(tzinfo=date.tzinfo or dt.UTC).timestamp() - now, 0.0)


class _Response(HTTPResponse):
    """The standard library's, but for where it reads from."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__(sock, method="POST")
        self.fp.close()
        self.fp = io.BufferedReader(_Received(sock, deadline))

    def begin(self) -> None:
        """Read the head, past those of interim answers: as many as `MOST_BYTES` has room for."""
        super().begin()
        while self.status in _INTERIM:
            # `begin` takes a head for read while there are headers. That they are None before it
            # has, typeshed does not know.
            self.headers = None  # type: ignore[assignment]
            super().begin()


class _Received(io.RawIOBase):
    """What comes from a socket until the deadline, and not more than `MOST_BYTES` of it.

    The socket's own timeout holds for each read anew: one byte a second would go on for ever.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._left = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._left <= 0:
            raise LineTooLong("answer")
        self._sock.settimeout(self._deadline.left())
        count = self._sock.recv_into(buffer)
        self._left -= count
        return count


def _text(response: HTTPResponse) -> str:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        # We asked for it as it is. Inflated, a few bytes can become gigabytes.
        return _fit(f"({encoding}, not unpacked)")
    decoder = _decoder(response.headers.get("Content-Type", ""))
    text = ""
    try:
        while len(text) < LONGEST_TEXT and (chunk := response.read1(_CHUNK)):
            text += decoder.decode(chunk)
        text += decoder.decode(b"", final=True)
    except (OSError, HTTPException):
        return _fit(text)  # what came will do: see `read_answer`
    return _fit(text)


def _decoder(content_type: str) -> codecs.IncrementalDecoder:
    told = _CHARSET.search(content_type)
    try:
        found = codecs.lookup(told[1] if told else "utf-8")
    except LookupError:
        found = codecs.lookup("utf-8")
    if not _READ_CHARSETS.fullmatch(found.name):
        found = codecs.lookup("utf-8")
    return codecs.getincrementaldecoder(found.name)("replace")


def _fit(text: str) -> str:
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text[:LONGEST_TEXT])
