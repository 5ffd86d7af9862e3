"""Who the client is, behind proxies that are trusted and before such as are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from flask import Flask, jsonify, request
from flask.testing import FlaskClient

from automart.accounts.models import AuditEvent, LoginThrottle
from automart.core.config import Settings
from automart.core.db import db
from automart.web.trusted_proxies import network_of
from tests.support.setup import application

PROXY = "10.0.0.1"
CLIENT = "203.0.113.7"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    trusted = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    return replace(settings, trusted_proxies=trusted)


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    """Of an application that tells what it takes a request for."""
    with application(settings) as app:

        @app.get("/seen")
        def seen() -> Any:
            return jsonify(address=request.remote_addr, url=request.host_url)

        yield app.test_client()


def seen(client: FlaskClient, peer: str, **headers: str) -> dict[str, str]:
    named = {f"X-Forwarded-{name.title()}": value for name, value in headers.items()}
    answer: dict[str, str] = client.get(
        "/seen", headers=named, environ_overrides={"REMOTE_ADDR": peer}
    ).get_json()
    return answer


def test_strangers_are_not_believed(client: FlaskClient) -> None:
    told = seen(client, CLIENT, **{"for": "192.0.2.1", "proto": "https", "host": "evil.example"})
    assert told == {"address": CLIENT, "url": "http://localhost/"}


def test_without_the_setting_nobody_is_believed(app: Flask, settings: Settings) -> None:
    with application(replace(settings, trusted_proxies=())) as plain:
        plain.add_url_rule("/seen", view_func=lambda: str(request.remote_addr))
        headers = {"X-Forwarded-For": CLIENT}
        for peer in ("127.0.0.1", PROXY):
            told = plain.test_client().get(
                "/seen", headers=headers, environ_overrides={"REMOTE_ADDR": peer}
            )
            assert told.text == peer


def test_a_proxy_tells_who_the_client_is_and_how_it_came(client: FlaskClient) -> None:
    told = seen(client, PROXY, **{"for": CLIENT, "proto": "https", "host": "shop.example:8443"})
    assert told == {"address": CLIENT, "url": "https://shop.example:8443/"}


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.0.2.1, 203.0.113.7", CLIENT),  # the first is made up
        ("10.0.0.9, 203.0.113.7", CLIENT),  # to look like one of ours
        ("192.0.2.1, 203.0.113.7, 10.0.0.2, fd00::1", CLIENT),  # two more of ours
        ("203.0.113.7:4711", CLIENT),
        ("::ffff:203.0.113.7", CLIENT),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.3", "10.0.0.3"),  # from within: the outermost that is known
        ("203.0.113.7, unknown", PROXY),
        ("203.0.113.7, <script>, 10.0.0.2", "10.0.0.2"),
        (" , ", PROXY),
        ("", PROXY),
    ],
)
def test_the_last_address_that_is_not_trusted_counts(
    client: FlaskClient, forwarded: str, address: str
) -> None:
    assert seen(client, PROXY, **{"for": forwarded})["address"] == address


@pytest.mark.parametrize(
    ("hops", "proto", "url"),
    [
        ("203.0.113.7", "http, https", "https://localhost/"),  # the first is made up
        ("203.0.113.7, 10.0.0.2", "https, http", "https://localhost/"),
        ("203.0.113.7, 10.0.0.2", "https", "https://localhost/"),
        ("203.0.113.7, 10.0.0.2", "https, http, http", "http://localhost/"),
        ("203.0.113.7", "javascript", "http://localhost/"),
    ],
)
def test_the_scheme_is_what_the_outermost_proxy_saw(
    client: FlaskClient, hops: str, proto: str, url: str
) -> None:
    assert seen(client, PROXY, **{"for": hops, "proto": proto})["url"] == url


def test_guesses_of_passwords_are_counted_by_the_clients_address(settings: Settings) -> None:
    """A stranger who makes up addresses is no other stranger each time."""
    wrong = {"email": "nobody@example.com", "password": "wrong and long enough"}
    with application(settings) as app, app.app_context():
        for made_up in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            app.test_client().post(
                "/login",
                json=wrong,
                headers={"X-Forwarded-For": f"{made_up}, {CLIENT}"},
                environ_overrides={"REMOTE_ADDR": PROXY},
            )
        assert db.session.query(LoginThrottle).count() == 2  # the account's and the address's
        assert {event.address for event in db.session.query(AuditEvent)} == {CLIENT}


def test_addresses_of_one_household_are_one() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") == "2001:db8::/64"
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of(None) == network_of("") == network_of("@") == "unknown"
