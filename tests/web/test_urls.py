"""Which texts can be hosts."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automart.web.urls import can_be_host


@pytest.mark.parametrize(
    "host",
    [
        "office.example",
        "office.example.",
        "localhost",
        "xn--bcher-kva.example",
        "my_host.example",
        "a--b.example",
        "x" * 63 + ".example",
        "3com.example",
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "::1",
        "2606:4700::1111",
        "::ffff:127.0.0.1",
        "fe80::1%25lo",
    ],
)
def test_names_and_addresses_can_be_hosts(host: str) -> None:
    assert can_be_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "..",
        "%",
        "%41.example",
        "~",
        "-",
        "office-.example",
        "-office.example",
        "a..b",
        ".example",
        "office.example..",
        "x" * 64 + ".example",
        "x." * 128,
        "bücher.example",
        "①②⑦.⓪.⓪.①",
        "office example",
        "office.example\n",
        "999.1.1.1",
        "1.2.3.4.5",
        "office.5",
        "4294967296",
        ":",
        "::1::",
        "12345::",
        "fe80::%",
        "[::1]",
        "office:80",
    ],
)
def test_names_that_can_never_be_reached_are_not_hosts(host: str) -> None:
    assert not can_be_host(host)


@given(st.from_regex(r"[0-9a-fx.-]{1,12}", fullmatch=True))
def test_a_number_is_a_host_if_the_system_reads_it_as_an_address(host: str) -> None:
    if can_be_host(host) and host.rstrip(".").rpartition(".")[2].isdigit():
        assert socket.inet_aton(host.removesuffix("."))
