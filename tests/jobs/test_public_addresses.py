"""Which addresses are public: none that could lead into a private network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.http.public_addresses import why_not_public

REFUSED = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "168.63.129.16/32",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/3",
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001::/32",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "4000::/2",
    "5f00::/16",
    "8000::/1",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]


@pytest.mark.parametrize("network", REFUSED)
def test_a_network_is_refused_from_its_first_address_to_its_last(network: str) -> None:
    first, last = ip_network(network)[0], ip_network(network)[-1]

    assert why_not_public(str(first))
    assert why_not_public(str(last))


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "a loopback address"),
        ("169.254.169.254", "a link-local address"),
        ("10.1.2.3", "a private address"),
        ("172.31.255.255", "a private address"),
        ("168.63.129.16", "an address of Azure's hosts"),
        ("100.100.100.200", "a carrier's private address"),
        ("255.255.255.255", "the broadcast address"),
        ("::1", "a loopback address"),
        ("::", "an address of this host"),
        ("::ffff:8.8.8.8", "an IPv4-mapped address"),
        ("::10.0.0.1", "an IPv4-compatible address"),
        ("64:ff9b::a00:1", "a NAT64 address"),
        ("2002:a00:1::", "a 6to4 address"),
        ("2001:0:a00:1::", "a Teredo address"),
        ("fd00:ec2::254", "a private address"),
        ("fe80::1%eth0", "an address within one network interface"),
        ("2600::1%eth0", "an address within one network interface"),
        ("4000::1", "not a global address"),
    ],
)
def test_the_kind_of_a_special_address_is_named(address: str, kind: str) -> None:
    assert why_not_public(address) == kind


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:4700::1111",
        "3ffe::1",
    ],
)
def test_a_public_address_is_accepted(address: str) -> None:
    assert why_not_public(address) is None


@given(
    st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(2**125, 2**126 - 1).map(IPv6Address)
)
def test_no_address_is_accepted_that_python_knows_to_be_special(
    address: IPv4Address | IPv6Address,
) -> None:
    if why_not_public(str(address)) is None:
        assert ip_address(str(address)).is_global
        assert not address.is_multicast
