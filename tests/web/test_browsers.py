"""Security headers, and CORS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.core.config import Settings
from tests.support import people
from tests.support.databases import on_sqlite
from tests.support.setup import application

pytestmark = on_sqlite  # nothing here depends on the database

SHOP = "https://shop.example"


@pytest.fixture
def with_origins(settings: Settings) -> Iterator[FlaskClient]:
    """Return a user's client of an application that allows two origins."""
    origins = (SHOP, "http://localhost:3000")
    with application(replace(settings, cors_origins=origins)) as app, app.app_context():
        yield people.signed_in(app, people.make_user())


class TestSecurityHeaders:
    @pytest.mark.parametrize(
        "path", ["/v1/makes", "/nowhere", "/login", "/docs", "/rq/", "/openapi.json", "/health"]
    )
    def test_every_response_has_security_headers(self, as_admin: FlaskClient, path: str) -> None:
        headers = as_admin.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Strict-Transport-Security" not in headers

    def test_a_response_that_is_no_page_may_load_nothing(self, as_admin: FlaskClient) -> None:
        for path in ("/v1/makes", "/nowhere", "/openapi.json"):
            headers = as_admin.get(path).headers
            policy = "default-src 'none'; frame-ancestors 'none'"
            assert headers.get_all("Content-Security-Policy") == [policy]
            assert headers.get_all("Cache-Control") == ["private, no-cache"]

    def test_only_responses_to_credentials_are_private(self, app: Flask) -> None:
        for sent, stored in (
            ({"Cookie": "a=b"}, "private, no-cache"),
            ({"Authorization": "Basic YTpi"}, "private, no-cache"),
            ({}, None),
        ):
            response = app.test_client(use_cookies=False).get("/nowhere", headers=sent)
            assert response.headers.get("Cache-Control") == stored, sent

    def test_https_responses_have_hsts(self, client: FlaskClient) -> None:
        response = client.get("/health/live", base_url="https://localhost")
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"

    def test_scripts_of_the_documentation_have_a_nonce(self, client: FlaskClient) -> None:
        policies = set()
        for _ in range(2):
            page = client.get("/docs")
            policy = page.headers["Content-Security-Policy"]
            nonce = policy.partition("'nonce-")[2].partition("'")[0]
            assert f'<script nonce="{nonce}">' in page.text
            assert len(nonce) > 20
            assert policy == (
                f"default-src 'none'; script-src 'self' 'nonce-{nonce}';"
                " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
                " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
            policies.add(policy)
        assert len(policies) == 2

    def test_the_page_that_receives_the_code_may_run_its_script_alone(
        self, client: FlaskClient
    ) -> None:
        with client.get("/docs/oauth2-redirect.html") as page:
            assert page.headers["Content-Security-Policy"] == (
                "default-src 'none'; script-src 'unsafe-inline'; frame-ancestors 'none'"
            )
        with client.get("/docs/swagger-ui.css") as asset:
            assert asset.headers["Cache-Control"] == "public, max-age=86400"
            assert "script-src" not in asset.headers["Content-Security-Policy"]


class TestCors:
    def test_other_origins_are_not_allowed_by_default(self, client: FlaskClient) -> None:
        asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
        for answer in (client.options("/v1/makes", headers=asked), client.get("/docs")):
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]

    def test_a_preflight_of_an_allowed_origin_is_answered(self, with_origins: FlaskClient) -> None:
        asked = {
            "Origin": SHOP,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization,if-match",
        }
        response = with_origins.options("/v1/makes/1", headers=asked)
        assert response.status_code == 204
        assert response.headers["Access-Control-Allow-Origin"] == SHOP
        methods = "GET, HEAD, POST, PUT, PATCH, DELETE"
        assert response.headers["Access-Control-Allow-Methods"] == methods
        assert response.headers["Access-Control-Allow-Headers"] == (
            "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Prefer,"
            " X-Request-ID"
        )
        assert response.headers["Access-Control-Max-Age"] == "3600"

    def test_an_allowed_origin_may_read_responses_errors_and_headers(
        self, with_origins: FlaskClient
    ) -> None:
        for path, status in (("/v1/makes", 200), ("/v1/makes/1", 404), ("/nowhere", 404)):
            response = with_origins.get(path, headers={"Origin": SHOP})
            assert response.status_code == status
            assert response.headers["Access-Control-Allow-Origin"] == SHOP
            assert response.headers["Access-Control-Expose-Headers"] == (
                "ETag, Link, Location, Retry-After, Preference-Applied, Idempotent-Replayed,"
                " RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-ID"
            )
            assert {name for name, _ in response.headers if name.startswith("Access-")} == {
                "Access-Control-Allow-Origin",
                "Access-Control-Expose-Headers",
            }

    @pytest.mark.parametrize(
        "origin",
        [
            *("https://evil.example", "http://shop.example", "https://shop.example:8443", "null"),
            *("https://shop.example.evil.example", "https://xshop.example", "HTTPS://SHOP.EXAMPLE"),
        ],
    )
    def test_other_origins_are_not_allowed(self, with_origins: FlaskClient, origin: str) -> None:
        asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        answers = (
            with_origins.get("/v1/makes", headers={"Origin": origin}),
            with_origins.options("/v1/makes", headers=asked),
        )
        for answer in answers:
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "Origin" in answer.vary

    def test_options_without_preflight_names_the_methods(self, with_origins: FlaskClient) -> None:
        response = with_origins.options("/v1/makes", headers={"Origin": SHOP})
        assert response.status_code == 200
        assert set(response.allow) == {"GET", "HEAD", "POST", "OPTIONS"}
