"""Absolute URLs, as the client that came by `/api` or by the root will want to follow them."""

from __future__ import annotations

import re
from typing import Any

from flask import current_app, request, url_for
from werkzeug.routing import IntegerConverter, Map

from automart.config import Settings
from automart.db import LARGEST_ID
from automart.errors import Malformed

# A host to which we may post: a name, or an address without its brackets.
HOST = re.compile(r"(?!\.+\Z)[0-9A-Za-z._~:%-]{1,254}")


class IdConverter(IntegerConverter):
    """An id in a path, written in one way only. One that no database can hold does not match, and
    so is a 404."""

    regex = "[1-9][0-9]{0,18}"

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=LARGEST_ID)


def url_root() -> str:
    """Scheme and host of every absolute URL: `PUBLIC_URL`, or what the client asked for."""
    settings: Settings = current_app.extensions["settings"]
    return settings.public_url or request.host_url.rstrip("/")


def refuse_malformed_host() -> None:
    """Raise `Malformed` for a Host header that is none, as RFC 9112 §3.2 wants it: no link could be
    made of it."""
    if "Host" in request.headers and not request.host:
        raise Malformed("The Host header is malformed.")


def absolute_url(endpoint: str, **values: Any) -> str:
    """The absolute URL of `endpoint`, for use in a request."""
    return url_root() + url_for(endpoint, **values)
