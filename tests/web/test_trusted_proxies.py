"""The address of the client behind trusted and untrusted proxies."""

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
from tests.support.databases import on_sqlite
from tests.support.setup import application

PROXY = "10.0.0.1"
CLIENT = "203.0.113.7"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    trusted = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    return replace(settings, trusted_proxies=trusted)


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    """Return a client of an application that shows how it sees a request."""
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


@on_sqlite
def test_headers_of_untrusted_peers_are_ignored(client: FlaskClient) -> None:
    found = seen(client, CLIENT, **{"for": "192.0.2.1", "proto": "https", "host": "evil.example"})
    assert found == {"address": CLIENT, "url": "http://localhost/"}


@on_sqlite
def test_without_the_setting_all_headers_are_ignored(app: Flask, settings: Settings) -> None:
    with application(replace(settings, trusted_proxies=())) as plain:
        plain.add_url_rule("/seen", view_func=lambda: str(request.remote_addr))
        headers = {"X-Forwarded-For": CLIENT}
        for peer in ("127.0.0.1", PROXY):
            found = plain.test_client().get(
                "/seen", headers=headers, environ_overrides={"REMOTE_ADDR": peer}
            )
            assert found.text == peer


@on_sqlite
def test_a_trusted_proxy_reports_address_scheme_and_host(client: FlaskClient) -> None:
    found = seen(client, PROXY, **{"for": CLIENT, "proto": "https", "host": "shop.example:8443"})
    assert found == {"address": CLIENT, "url": "https://shop.example:8443/"}


@on_sqlite
@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.0.2.1, 203.0.113.7", CLIENT),  # the first is forged
        ("10.0.0.9, 203.0.113.7", CLIENT),  # forged to look like a trusted proxy
        ("192.0.2.1, 203.0.113.7, 10.0.0.2, fd00::1", CLIENT),  # two more trusted proxies
        ("203.0.113.7:4711", CLIENT),
        ("::ffff:203.0.113.7", CLIENT),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.3", "10.0.0.3"),  # internal: the outermost known address
        ("203.0.113.7, unknown", PROXY),
        ("203.0.113.7, <script>, 10.0.0.2", "10.0.0.2"),
        (" , ", PROXY),
        ("", PROXY),
    ],
)
def test_the_last_untrusted_address_is_the_client(
    client: FlaskClient, forwarded: str, address: str
) -> None:
    assert seen(client, PROXY, **{"for": forwarded})["address"] == address


@on_sqlite
@pytest.mark.parametrize(
    ("hops", "proto", "url"),
    [
        ("203.0.113.7", "http, https", "https://localhost/"),  # the first is forged
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


@on_sqlite
def test_failed_logins_are_counted_by_the_address_of_the_client(settings: Settings) -> None:
    """A client that forges addresses is still the same client."""
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


def test_addresses_of_one_network_are_limited_together() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") == "2001:db8::/64"
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of(None) == network_of("") == network_of("@") == "unknown"
