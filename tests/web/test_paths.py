"""The index at `/` and `/v1`, and paths with a final slash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from automart.core.config import Settings
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem
from tests.support.people import make_user, token_of
from tests.support.setup import application

CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;"
    "q=0.8,application/signed-exchange;v=b3;q=0.7"
)
SHOP = "https://shop.example"


@pytest.fixture
def at_shop(settings: Settings) -> Iterator[Flask]:
    """Return an application whose PUBLIC_URL is `SHOP`."""
    origins = (SHOP,)
    with application(replace(settings, public_url=SHOP, cors_origins=origins)) as app:
        yield app


class TestIndex:
    @on_sqlite
    @pytest.mark.parametrize("prefix", ["", "/api"])
    @pytest.mark.parametrize("path", ["/", "/v1"])
    def test_programs_get_links_that_keep_the_prefix(
        self, client: FlaskClient, prefix: str, path: str
    ) -> None:
        for accept in (None, "*/*", "application/json", "text/html;q=0.5, application/json"):
            response = client.get(prefix + path, headers={"Accept": accept} if accept else {})
            assert response.get_json() == {
                "api": f"http://localhost{prefix}/v1",
                "docs": f"http://localhost{prefix}/docs",
                "openapi": f"http://localhost{prefix}/openapi.json",
                "health": f"http://localhost{prefix}/health",
            }
            assert "Accept" in response.vary
        for link in response.get_json().values():
            with client.get(link) as found:
                assert found.status_code == 200

    @on_sqlite
    @pytest.mark.parametrize("prefix", ["", "/api"])
    @pytest.mark.parametrize("path", ["/", "/v1"])
    @pytest.mark.parametrize("accept", [CHROMIUM, "text/html"])
    def test_browsers_are_sent_to_the_docs(
        self, client: FlaskClient, prefix: str, path: str, accept: str
    ) -> None:
        response = client.get(prefix + path, headers={"Accept": accept})
        assert response.status_code == 303
        assert response.headers["Location"] == f"http://localhost{prefix}/docs"
        assert "Accept" in response.vary

    @on_sqlite
    def test_the_mount_is_an_index_too(self, client: FlaskClient) -> None:
        for path in ("/api", "/api/"):
            assert client.get(path).get_json()["api"] == "http://localhost/api/v1"

    @on_sqlite
    def test_the_index_can_only_be_read(self, client: FlaskClient) -> None:
        assert_problem(client.post("/"), 405)


@on_sqlite
class TestFinalSlash:
    @pytest.mark.parametrize("prefix", ["", "/api"])
    @pytest.mark.parametrize(
        "path",
        [
            "/v1",
            "/v1/customers",
            "/v1/customers/7",
            "/v1/get-all-vehicles-for-manufacturing/Honda",
            "/docs",
            "/openapi.json",
            "/oauth/token",
            "/health/live",
            "/.well-known/jwks.json",
        ],
    )
    def test_a_path_that_exists_without_it_is_redirected(
        self, client: FlaskClient, prefix: str, path: str
    ) -> None:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            response = client.open(f"{prefix}{path}/", method=method)
            assert response.status_code == 308, method
            assert response.headers["Location"] == f"http://localhost{prefix}{path}"
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Request-ID"]

    @pytest.mark.parametrize("query", ["q=a%2Fb&limit=1", "q=%ff", "q=a+b%20c", "x=//evil/"])
    def test_the_query_is_kept_unchanged(self, client: FlaskClient, query: str) -> None:
        response = client.get(f"/v1/customers/?{query}")
        assert response.headers["Location"] == f"http://localhost/v1/customers?{query}"

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/nothing/",
            "/nothing/",
            "/v1/customers/seven/",
            "/v1/customers//",
            "/docs//",
            "/evil.example/",
            "/\\evil.example/",
            "/%5Cevil.example/",
            "/%09/evil.example/",
        ],
    )
    def test_an_unknown_path_is_404(self, client: FlaskClient, path: str) -> None:
        assert_problem(client.get(path), 404)

    def test_a_target_that_is_no_path_is_404(self, app: Flask) -> None:
        for method in ("OPTIONS", "GET"):
            builder = EnvironBuilder(method=method)
            environ = builder.get_environ() | {"PATH_INFO": "*"}
            builder.close()
            assert_problem(app.test_client().open(environ), 404)

    @pytest.mark.parametrize("prefix", ["", "/api"])
    @pytest.mark.parametrize(
        "path", ["//", "//v1/customers", "//v1/customers/", "//evil.example/", "/%2Fevil.example/"]
    )
    def test_a_path_that_begins_with_two_slashes_is_404(
        self, client: FlaskClient, prefix: str, path: str
    ) -> None:
        # A client would read the beginning of such a path as a host.
        found = client.get("/", environ_overrides={"PATH_INFO": prefix + path.replace("%2F", "/")})
        assert_problem(found, 404)

    def test_paths_of_the_dashboard_are_not_redirected(
        self, app: Flask, client: FlaskClient
    ) -> None:
        header = {"Authorization": f"Bearer {token_of(app, make_user(is_admin=True))}"}
        assert client.get("/rq/0/view/queues/", headers=header).status_code == 404
        assert client.get("/rq/", headers=header).status_code == 200

    def test_a_redirect_has_the_public_url(self, at_shop: Flask) -> None:
        client = at_shop.test_client()
        found = client.get("/v1/cars/", headers={"Host": "evil.example"})
        assert found.headers["Location"] == f"{SHOP}/v1/cars"

    def test_scripts_of_other_sites_may_follow_it(self, at_shop: Flask) -> None:
        client = at_shop.test_client()
        asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
        assert client.options("/v1/cars/", headers=asked).status_code == 204
        found = client.post("/v1/cars/", headers={"Origin": SHOP})
        assert found.headers["Access-Control-Allow-Origin"] == SHOP


class TestHosts:
    @on_sqlite
    @pytest.mark.parametrize("prefix", ["", "/api"])
    def test_the_docs_at_another_host_redirect_to_the_public_url(
        self, at_shop: Flask, prefix: str
    ) -> None:
        for host in ("evil.example", "10.0.0.7:8000", "shop.example:8000", "localhost.example"):
            found = at_shop.test_client().get(f"{prefix}/docs", headers={"Host": host})
            assert (found.status_code, found.headers["Location"]) == (302, f"{SHOP}{prefix}/docs")

    @on_sqlite
    def test_the_docs_are_served_at_the_public_url_and_at_loopback_names(
        self, at_shop: Flask
    ) -> None:
        hosts = ("shop.example", "Shop.Example:443", "localhost:8000", "127.0.0.1", "[::1]:8000")
        for host in (*hosts, "127.1.2.3:1", "automart.localhost"):
            found = at_shop.test_client().get("/docs", headers={"Host": host})
            assert found.status_code == 200, host

    @on_sqlite
    def test_without_a_public_url_every_host_serves_them(self, settings: Settings) -> None:
        with application(replace(settings, public_url=None)) as app:
            found = app.test_client().get("/docs", headers={"Host": "shop.example"})
        assert found.status_code == 200

    @on_sqlite
    def test_the_document_is_the_same_at_every_host(self, at_shop: Flask) -> None:
        client = at_shop.test_client()
        texts = {
            client.get("/openapi.json", headers={"Host": host}).text
            for host in ("shop.example", "localhost:8000", "evil.example")
        }
        assert len(texts) == 1
        assert "evil" not in texts.pop()

    @on_sqlite
    def test_no_shared_cache_stores_responses_that_contain_the_host(
        self, settings: Settings
    ) -> None:
        with application(replace(settings, public_url=None)) as app:
            client = app.test_client()
            for path in ("/.well-known/oauth-authorization-server", "/", "/v1", "/v1/cars/"):
                found = client.get(path, headers={"Host": "evil.example"})
                assert "evil.example" in found.text + found.headers.get("Location", "")
                assert "public" not in found.headers["Cache-Control"]
                assert found.headers["Cache-Control"] in ("no-store", "no-cache")
