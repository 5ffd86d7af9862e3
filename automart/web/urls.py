"""Absolute URLs, as the client that came by `/api` or by the root will want to follow them."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from flask import request, url_for
from werkzeug.routing import IntegerConverter, Map

from automart.core.config import current_settings
from automart.core.db_types import LARGEST_ID
from automart.core.errors import Malformed

# The syntax of a host, without the brackets of an IPv6 address.
HOST = re.compile(r"(?!\.+\Z)[0-9A-Za-z._~:%-]{1,254}")
_LABEL = re.compile(r"[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class IdConverter(IntegerConverter):
    """An id in a path, written in one way only. One that no database can hold does not match, and
    so is a 404."""

    regex = "[1-9][0-9]{0,18}"

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=LARGEST_ID)


def can_be_host(text: str) -> bool:
    """Return whether a connection could ever be made to this host: a name or an IP address.

    A name whose last label is a number is an IPv4 address, in any form that inet_aton reads.
    """
    if ":" in text:
        return _is_valid(ip_address, text)
    labels = text.removesuffix(".").split(".")
    if not HOST.fullmatch(text) or not all(map(_LABEL.fullmatch, labels)):
        return False
    return not _NUMBER.fullmatch(labels[-1]) or _is_valid(socket.inet_aton, text)


def _is_valid(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except (ValueError, OSError):
        return False
    return True


def url_root() -> str:
    """Scheme and host of every absolute URL: `PUBLIC_URL`, or what the client asked for."""
    settings = current_settings()
    return settings.public_url or request.host_url.rstrip("/")


def origin() -> str:
    """Return the URL root to which a client comes back: the host that it asked for if that is a
    name of this machine, for tokens and sessions are kept by the browser for that name alone; else
    the same as `url_root`."""
    return request.host_url.rstrip("/") if is_at_loopback() else url_root()


def is_at_loopback() -> bool:
    """Return whether the client asked for `localhost`, `127.0.0.1` or another such name."""
    try:
        name = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return False
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def is_at_public_host() -> bool:
    """Return whether the client asked for the host of `PUBLIC_URL`, or there is no such setting."""
    public = urlsplit(url_root().lower())
    default_port = {"http": ":80", "https": ":443"}[public.scheme]
    name = public.netloc.removesuffix(default_port)
    return request.host.lower() in (name, name + default_port)


def refuse_malformed_host() -> None:
    """Raise `Malformed` for a Host header that is none, as RFC 9112 §3.2 wants it: no link could be
    made of it."""
    if "Host" in request.headers and not request.host:
        raise Malformed("The Host header is malformed.")


def absolute_url(endpoint: str, **values: Any) -> str:
    """The absolute URL of `endpoint`, for use in a request."""
    return url_root() + url_for(endpoint, **values)
