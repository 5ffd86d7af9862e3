"""Native applications (RFC 8252): loopback and private redirect URIs, and consent."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from automart.accounts.models import User
from automart.accounts.service import create_application
from automart.core.db import transaction
from tests.oauth.pages import authorize_url, error_of, exchange, hidden_fields, me, sent_back

REGISTERED = (
    "http://127.0.0.1/callback",
    "http://[::1]:8080/callback",
    "http://localhost/callback?x=1",
    "com.example.app:/done",
)


@pytest.fixture
def native(app: Flask) -> str:
    with transaction():
        return create_application("Desk", REGISTERED).id


def decide(browser: FlaskClient, url: str, decision: str) -> TestResponse:
    """Press a button of the consent page."""
    page = browser.get(url)
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    return browser.post("/oauth/authorize", data=hidden_fields(page.text) | {"consent": decision})


def test_a_native_application_is_let_in_after_consent_each_time(
    browser: FlaskClient, client: FlaskClient, native: str, ann: User
) -> None:
    for uri in (
        "http://127.0.0.1:54321/callback",
        "http://127.0.0.1/callback",
        "http://[::1]:1/callback",
        "http://localhost:65535/callback?x=1",
        "com.example.app:/done",
    ):
        url = authorize_url(native, redirect_uri=uri)
        page = browser.get(url)
        assert page.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert "Desk" in page.text
        assert ann.email in page.text
        response = decide(browser, url, "yes")
        assert response.location.startswith(uri)
        assert sent_back(response)["state"] == "a state"
        code = sent_back(response)["code"]
        tokens = exchange(client, native, code, redirect_uri=uri).get_json()
        assert me(client, tokens["access_token"]) == 200


def test_a_refusal_is_sent_to_the_application(browser: FlaskClient, native: str) -> None:
    uri = "com.example.app:/done"
    response = decide(browser, authorize_url(native, redirect_uri=uri), "no")
    assert response.location.startswith(uri)
    error = sent_back(response)
    assert (error["error"], error["state"]) == ("access_denied", "a state")
    assert "iss" in error


def test_consent_needs_the_token_of_the_page(browser: FlaskClient, native: str) -> None:
    url = authorize_url(native, redirect_uri="com.example.app:/done")
    fields = hidden_fields(browser.get(url).text) | {"consent": "yes"}
    for token in ("", "guess"):
        response = browser.post("/oauth/authorize", data=fields | {"csrf_token": token})
        assert response.status_code == 200
        assert "Location" not in response.headers
    assert browser.get(f"{url}&consent=yes&csrf_token={fields['csrf_token']}").status_code == 200


def test_a_consent_without_a_session_leads_to_the_login_page(
    app: Flask, browser: FlaskClient, native: str
) -> None:
    url = authorize_url(native, redirect_uri="com.example.app:/done")
    fields = hidden_fields(browser.get(url).text) | {"consent": "yes"}
    response = app.test_client().post("/oauth/authorize", data=fields)
    assert "/login?next=" in response.location
    assert "csrf_token" not in response.location


def test_other_uris_are_refused(browser: FlaskClient, native: str) -> None:
    for uri in (
        "http://127.0.0.1:5/other",
        "http://127.0.0.1:5/callback?x=1",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:5@evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.2/callback",
        "https://127.0.0.1:5/callback",
        "http://localhost/callback",
        "com.example.app:/done/more",
        "com.example.other:/done",
    ):
        response = browser.get(authorize_url(native, redirect_uri=uri))
        assert error_of(response) == "invalid_request", uri


def test_private_schemes_can_be_registered(as_admin: FlaskClient) -> None:
    body = {"name": "Phone", "kind": "application"}
    for uri, status in {
        "com.example.app:/done": 201,
        "com.example.app://host/done": 201,
        "javascript:/alert(1)": 422,
        "myapp:/done": 422,
        "com.example.app:done": 422,
        "com.example.app:/done#x": 422,
        "http://192.0.2.1/done": 422,
    }.items():
        response = as_admin.post("/v1/clients", json=body | {"redirect_uris": [uri]})
        assert response.status_code == status, uri
