"""Absolute URLs. They keep the prefix of the request, `/api` or none."""

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
    """An id in a path, in one notation only. An id that is too large for the database does not
    match, and so is a 404."""

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
    """Return scheme and host of absolute URLs: `PUBLIC_URL`, or those of the request."""
    settings = current_settings()
    return settings.public_url or request.host_url.rstrip("/")


def origin() -> str:
    """Return the URL root for redirects: the requested host if it is a name of this machine,
    otherwise `url_root`.

    Browsers keep tokens and sessions per host name, so a redirect must not change it.
    """
    return request.host_url.rstrip("/") if is_at_loopback() else url_root()


def is_at_loopback() -> bool:
    """Return whether the requested host is `localhost`, `127.0.0.1` or another loopback name."""
    try:
        name = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return False
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def is_at_public_host() -> bool:
    """Return whether the requested host is that of `PUBLIC_URL`, or there is no such setting."""
    public = urlsplit(url_root().lower())
    default_port = {"http": ":80", "https": ":443"}[public.scheme]
    name = public.netloc.removesuffix(default_port)
    return request.host.lower() in (name, name + default_port)


def refuse_malformed_host() -> None:
    """Raise `Malformed` for an invalid Host header (RFC 9112 §3.2), which would break links."""
    if "HTTP_HOST" in request.environ and not request.host:
        raise Malformed("The Host header is malformed.")


def absolute_url(endpoint: str, **values: Any) -> str:
    """Return the absolute URL of `endpoint`. Needs a request."""
    return url_root() + url_for(endpoint, **values)
