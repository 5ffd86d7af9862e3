"""Trusted proxies, which report the address of the client and the host that it requested."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from automart.core.networks import Address, Network

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class TrustedProxies:
    """WSGI middleware that uses `X-Forwarded-For`, `-Proto` and `-Host` from trusted peers only.

    Each proxy appends the address of its peer, so the list is read from its end: the first address
    that is not a trusted proxy is the client. The client may have forged everything before it. From
    other peers, these headers are removed.
    """

    def __init__(self, app: WSGIApplication, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        forwarded = {
            name: _listed(environ.pop(f"HTTP_X_FORWARDED_{name}", ""))
            for name in ("FOR", "PROTO", "HOST")
        }
        if self._is_trusted(parsed_address(environ.get("REMOTE_ADDR"))):
            self._apply(environ, forwarded)
        return self._app(environ, start_response)

    def _apply(self, environ: WSGIEnvironment, forwarded: dict[str, list[str]]) -> None:
        hops = 1
        for word in reversed(forwarded["FOR"]):
            address = parsed_address(word)
            if address is None:
                break  # the peer of this proxy is unknown, but the proxy itself is known
            environ["REMOTE_ADDR"] = str(address)
            if not self._is_trusted(address):
                break
            hops += 1
        scheme = _from_outermost_proxy(forwarded["PROTO"], hops).lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        host = _from_outermost_proxy(forwarded["HOST"], hops)
        if host:
            environ["HTTP_HOST"] = host

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


@lru_cache(maxsize=4096)
def parsed_address(text: str | None) -> Address | None:
    """Return an address, with or without a port in `text`; None if it is invalid. An IPv4-mapped
    IPv6 address becomes IPv4."""
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
    """Return an IPv4 address, or the /64 of an IPv6 address, which one household or server has."""
    address = parsed_address(text)
    if address is None:
        return "unknown"
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _listed(header: str) -> list[str]:
    return [word.strip() for word in header.split(",") if word.strip()]


def _from_outermost_proxy(words: list[str], hops: int) -> str:
    """Return what the outermost trusted proxy reported: proxies append their value, or replace all
    values by one."""
    return words[-min(hops, len(words))] if words else ""
