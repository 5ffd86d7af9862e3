"""Security headers, and which other sites may call us from a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from automart.core.config import Settings
from tests.support import people
from tests.support.setup import application

SHOP = "https://shop.example"


@pytest.fixture
def with_origins(settings: Settings) -> Iterator[FlaskClient]:
    """Whose requests a user sends, to a deployment that lets two other sites in."""
    origins = (SHOP, "http://localhost:3000")
    with application(replace(settings, cors_origins=origins)) as app, app.app_context():
        yield people.signed_in(app, people.make_user())


class TestSecurityHeaders:
    @pytest.mark.parametrize(
        "path", ["/v1/makes", "/nowhere", "/login", "/docs", "/rq/", "/openapi.json", "/health"]
    )
    def test_are_on_every_answer(self, as_admin: FlaskClient, path: str) -> None:
        headers = as_admin.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "Strict-Transport-Security" not in headers

    def test_https_is_for_good(self, client: FlaskClient) -> None:
        response = client.get("/health/live", base_url="https://localhost")
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"

    def test_scripts_of_the_documentation_are_known_by_a_number_used_once(
        self, client: FlaskClient
    ) -> None:
        policies = set()
        for _ in range(2):
            page = client.get("/docs")
            policy = page.headers["Content-Security-Policy"]
            nonce = policy.partition("'nonce-")[2].partition("'")[0]
            assert f'<script nonce="{nonce}">' in page.text
            assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
            policies.add(policy)
        assert len(policies) == 2


class TestOtherSites:
    def test_are_not_let_in_unless_the_deployment_says_so(self, client: FlaskClient) -> None:
        asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
        for answer in (client.options("/v1/makes", headers=asked), client.get("/docs")):
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]

    def test_that_are_named_may_ask_before_they_send(self, with_origins: FlaskClient) -> None:
        asked = {
            "Origin": SHOP,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization,if-match",
        }
        response = with_origins.options("/v1/makes/1", headers=asked)
        assert response.status_code == 204
        assert response.headers["Access-Control-Allow-Origin"] == SHOP
        assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
        allowed = response.headers["Access-Control-Allow-Headers"]
        assert {"Authorization", "If-Match", "Idempotency-Key"} <= set(allowed.split(", "))
        assert response.headers["Access-Control-Max-Age"] == "3600"

    def test_may_read_answers_and_errors_and_their_headers(self, with_origins: FlaskClient) -> None:
        for path, status in (("/v1/makes", 200), ("/v1/makes/1", 404), ("/nowhere", 404)):
            response = with_origins.get(path, headers={"Origin": SHOP})
            assert response.status_code == status
            assert response.headers["Access-Control-Allow-Origin"] == SHOP
            shown = set(response.headers["Access-Control-Expose-Headers"].split(", "))
            assert shown >= {"Location", "ETag", "Link", "Retry-After", "X-Request-ID", "RateLimit"}
            assert "Access-Control-Allow-Credentials" not in response.headers

    @pytest.mark.parametrize(
        "origin",
        [
            *("https://evil.example", "http://shop.example", "https://shop.example:8443", "null"),
            *("https://shop.example.evil.example", "https://xshop.example", "HTTPS://SHOP.EXAMPLE"),
        ],
    )
    def test_that_are_not_named_may_not(self, with_origins: FlaskClient, origin: str) -> None:
        asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        answers = (
            with_origins.get("/v1/makes", headers={"Origin": origin}),
            with_origins.options("/v1/makes", headers=asked),
        )
        for answer in answers:
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "Origin" in answer.vary

    def test_plain_options_still_name_the_methods(self, with_origins: FlaskClient) -> None:
        response = with_origins.options("/v1/makes", headers={"Origin": SHOP})
        assert response.status_code == 200
        assert set(response.allow) == {"GET", "HEAD", "POST", "OPTIONS"}
