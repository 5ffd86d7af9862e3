"""The response to a webhook: its status, and the beginning of its body for the log."""

from __future__ import annotations

import codecs
import re
import time
from dataclasses import dataclass

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from automart.web.retry_after import parse_retry_after

LONGEST_TEXT = 2048

_CHUNK = 1024
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.ASCII | re.IGNORECASE)
# Python has codecs that are no charsets, such as "idna" and "unicode_escape".
_READ_CHARSETS = re.compile(
    r"utf-8(-sig)?|ascii|iso8859-\d+|cp\d+|koi8-\w|euc_\w+|gb\w+|big5|shift_jis"
)
# What PostgreSQL or a log cannot store: control characters and halves of surrogate pairs.
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """What a receiver responded.

    `text` is the first 2,048 characters of the body, fit for a database and a log. `retry_after`
    is the number of seconds that it asks us to wait, None if it does not.
    """

    status: int
    text: str
    retry_after: float | None


def read_response(response: BaseHTTPResponse) -> WebhookResponse:
    """Read as much of a response as the log needs.

    The head decides; of a body that breaks off, or does not end in time, the text is what arrived.
    """
    retry_after = parse_retry_after(response.headers.get("Retry-After"), time.time())
    text = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", _text(response)[:LONGEST_TEXT])
    return WebhookResponse(response.status, text, retry_after)


def _text(response: BaseHTTPResponse) -> str:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        # The request asks for the body as it is. Decompressed, a few bytes can become gigabytes.
        return f"({encoding}, not unpacked)"
    decoder = _decoder(response.headers.get("Content-Type", ""))
    text = ""
    try:
        while len(text) < LONGEST_TEXT and (chunk := response.read1(_CHUNK)):
            text += decoder.decode(chunk)
        text += decoder.decode(b"", final=True)
    except (OSError, HTTPError):
        return text
    return text


def _decoder(content_type: str) -> codecs.IncrementalDecoder:
    named = _CHARSET.search(content_type)
    try:
        codec = codecs.lookup(named[1] if named else "utf-8")
    except LookupError:
        codec = codecs.lookup("utf-8")
    name = codec.name if _READ_CHARSETS.fullmatch(codec.name) else "utf-8"
    return codecs.getincrementaldecoder(name)("replace")
