"""Which addresses are on the public internet.

`ipaddress.is_global` is not used: it differs between Python versions, and is true of addresses that
lead elsewhere, such as 6to4. This table follows IANA's registries of special-purpose addresses, and
adds what cloud providers use for their own services. A range in doubt is not public.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

from automart.core.networks import Address

_SPECIAL_IPV4: Mapping[IPv4Network, str] = {
    IPv4Network(network): kind
    for network, kind in {
        "0.0.0.0/8": "an address of this host",
        "10.0.0.0/8": "a private address",
        "100.64.0.0/10": "a carrier's private address",
        "127.0.0.0/8": "a loopback address",
        "168.63.129.16/32": "an address of Azure's hosts",
        "169.254.0.0/16": "a link-local address",
        "172.16.0.0/12": "a private address",
        "192.0.0.0/24": "an address reserved for protocols",
        "192.0.2.0/24": "an address for documentation",
        "192.88.99.0/24": "an address of a 6to4 relay",
        "192.168.0.0/16": "a private address",
        "198.18.0.0/15": "an address for benchmarks",
        "198.51.100.0/24": "an address for documentation",
        "203.0.113.0/24": "an address for documentation",
        "224.0.0.0/4": "a multicast address",
        "255.255.255.255/32": "the broadcast address",
        "240.0.0.0/4": "a reserved address",
    }.items()
}

# The part of IPv6 that is assigned as global unicast. Everything else is refused, known or not.
_GLOBAL_IPV6 = IPv6Network("2000::/3")

# Addresses that embed an IPv4 address are refused whatever it is: no receiver needs them.
_SPECIAL_IPV6: Mapping[IPv6Network, str] = {
    IPv6Network(network): kind
    for network, kind in {
        "::/128": "an address of this host",
        "::1/128": "a loopback address",
        "::ffff:0:0/96": "an IPv4-mapped address",
        "::/96": "an IPv4-compatible address",
        "64:ff9b::/96": "a NAT64 address",
        "64:ff9b:1::/48": "a NAT64 address",
        "100::/64": "an address that discards",
        "2001::/32": "a Teredo address",
        "2001::/23": "an address reserved for protocols",
        "2001:db8::/32": "an address for documentation",
        "2002::/16": "a 6to4 address",
        "3fff::/20": "an address for documentation",
        "fc00::/7": "a private address",
        "fe80::/10": "a link-local address",
        "fec0::/10": "a private address",
        "ff00::/8": "a multicast address",
    }.items()
}


def why_not_public(address: str) -> str | None:
    """Return what kind of special address this is ("a private address"), None if it is public."""
    if "%" in address:
        return "an address within one network interface"
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return _kind(parsed, _SPECIAL_IPV4)
    kind = _kind(parsed, _SPECIAL_IPV6)
    if kind is None and parsed not in _GLOBAL_IPV6:
        return "not a global address"
    return kind


def _kind(
    address: Address, special: Mapping[IPv4Network, str] | Mapping[IPv6Network, str]
) -> str | None:
    return next((kind for network, kind in special.items() if address in network), None)
