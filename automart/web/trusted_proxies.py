"""Proxies before us: whose word counts on who the client is, and by which address it came."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from automart.core.networks import Address, Network

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class TrustedProxies:
    """WSGI middleware that heeds `X-Forwarded-For`, `-Proto` and `-Host` from trusted peers alone.

    Each proxy appends the address that it was asked from, so the list is read from its end: the
    first address that is no trusted proxy is the client. What stands before it, anyone may have
    made up. From other peers these headers are removed.
    """

    def __init__(self, app: WSGIApplication, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        told = {
            name: _listed(environ.pop(f"HTTP_X_FORWARDED_{name}", ""))
            for name in ("FOR", "PROTO", "HOST")
        }
        if self._is_trusted(parsed_address(environ.get("REMOTE_ADDR"))):
            self._heed(environ, told)
        return self._app(environ, start_response)

    def _heed(self, environ: WSGIEnvironment, told: dict[str, list[str]]) -> None:
        hops = 1
        for word in reversed(told["FOR"]):
            address = parsed_address(word)
            if address is None:
                break  # what is before this proxy is unknown; the proxy itself is not
            environ["REMOTE_ADDR"] = str(address)
            if not self._is_trusted(address):
                break
            hops += 1
        scheme = _told_by_first_proxy(told["PROTO"], hops).lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        host = _told_by_first_proxy(told["HOST"], hops)
        if host:
            environ["HTTP_HOST"] = host

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def parsed_address(text: str | None) -> Address | None:
    """The address, also one with a port; None if it is none. IPv4 within IPv6 is IPv4."""
    text = (text or "").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(text: str | None) -> str:
    """The address, or of IPv6 the network that one household or server has."""
    address = parsed_address(text)
    if address is None:
        return "unknown"
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _listed(header: str) -> list[str]:
    return [word.strip() for word in header.split(",") if word.strip()]


def _told_by_first_proxy(words: list[str], hops: int) -> str:
    """What the outermost of our proxies said: one word each if they append, else one in all."""
    return words[-min(hops, len(words))] if words else ""
