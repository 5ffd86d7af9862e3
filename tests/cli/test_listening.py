"""The address of `automart up`, and its errors."""

from __future__ import annotations

import socket

import pytest

from automart.cli.errors import CommandError
from automart.cli.listening import EVERYWHERE, Address, free_port
from tests.support.limits import LIMIT
from tests.support.ports import free_port as any_port


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:81"),
        (EVERYWHERE, "http://127.0.0.1:81"),
        ("::1", "http://[::1]:81"),
        ("::", "http://[::1]:81"),
        ("cars.example", "http://cars.example:81"),
    ],
)
def test_the_url_of_an_address_works_on_this_machine(host: str, url: str) -> None:
    assert Address(host, 81).url == url


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::", "localhost"])
def test_an_address_can_be_of_every_kind_of_host(host: str) -> None:
    port = any_port()
    with Address(host, port).listen():
        target = {"::": "127.0.0.1"}.get(host, host)
        socket.create_connection((target, port), timeout=LIMIT).close()


def test_the_error_for_a_taken_port_suggests_another_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandError) as error:
            Address("127.0.0.1", port).listen()
    assert str(error.value) == (
        f"Cannot listen on port {port} of 127.0.0.1: Address already in use. "
        "Try: automart up --port NUMBER"
    )


@pytest.mark.parametrize("host", ["203.0.113.9", "no such host", "a..b", "..", "x" * 70])
def test_the_error_for_an_unusable_host_suggests_another_host(host: str) -> None:
    with pytest.raises(
        CommandError, match=r"^Cannot listen on .*[a-z]\. Try: .* --host 127\.0\.0\.1$"
    ):
        Address(host, 81).listen()


def test_free_port_returns_the_preferred_port_if_it_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert free_port(taken) != taken
    assert free_port(taken) == taken
