"""Every error is problem+json, without internals."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import TimeoutError as PoolTimeout

from automart.catalogue.models import VehicleMake, VehicleModel
from automart.core.config import Settings
from automart.core.db import db, transaction
from automart.core.errors import Conflict, TooManyRequests, problem
from tests.support import people, postgresql
from tests.support.catalogue import HONDA, add_make
from tests.support.http import assert_problem
from tests.support.logs import logged
from tests.support.setup import application

UNKNOWN = (
    *("/nowhere", "//v1/makes", "/v1//makes", "/V1/makes", "/api/nowhere", "/api/api/v1/makes"),
    *("/apix/v1/makes",),
    *("/makes", "/docs/x", "/docs/../pyproject.toml", "/docs/%2e%2e/__init__.py", "/static/x"),
    *("/favicon.ico", "/v1/makes/%ff", "/v1/makes/%00"),
)


def test_an_unknown_url_is_404(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for path in UNKNOWN:
        with subtests.test(path=path):
            assert_problem(client.get(path), 404)


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (404, "Not Found"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (418, "I'm a Teapot"),
        (422, "Unprocessable Content"),
    ],
)
def test_titles_are_the_phrases_of_rfc_9110_on_every_python(status: int, title: str) -> None:
    assert problem(status, None)["title"] == title


def test_an_unsupported_method_is_405_with_the_supported_ones(
    client: FlaskClient, subtests: pytest.Subtests
) -> None:
    for method in ("PUT", "POST", "TRACE", "BREW"):
        with subtests.test(method):
            response = client.open(f"/v1/makes/{HONDA}", method=method)
            problem = assert_problem(response, 405)
            assert problem["detail"] == "The method is not allowed for the requested URL."
            assert set(response.allow) == {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}


def test_options_names_the_methods(client: FlaskClient) -> None:
    response = client.options("/v1/makes")
    assert response.status_code == 200
    assert set(response.allow) == {"GET", "HEAD", "POST", "OPTIONS"}
    assert_problem(client.options("/nowhere"), 404)


def test_head_responds_like_get_without_the_body(client: FlaskClient) -> None:
    add_make()
    for path in (f"/v1/makes/{HONDA}", "/v1/makes?limit=1", "/jobs", "/nowhere", "/v1/makes/1"):
        got, head = client.get(path), client.head(path)
        assert head.data == b""
        assert head.status_code == got.status_code
        for name in ("ETag", "Link", "Content-Type", "Content-Length"):
            if got.status_code == 200 or name == "Content-Type":
                assert head.headers.get(name) == got.headers.get(name)


def test_the_instance_is_the_path_as_a_uri_reference(client: FlaskClient) -> None:
    asked = "/api/no%20such/%E2%82%AC?limit=1"
    assert assert_problem(client.get(asked), 404)["instance"] == "/api/no%20such/%E2%82%AC"


def test_a_malformed_host_header_is_400(client: FlaskClient, subtests: pytest.Subtests) -> None:
    for host in ["a b", 'x"><script>', "x/y", "x,y", "x:99999", "ü", ""]:
        with subtests.test(host=host):
            assert_problem(client.get("/v1/makes", headers={"Host": host}), 400)


@pytest.mark.parametrize("host", ["shop.example", "shop.example:8080", "[::1]:8000", "127.0.0.1"])
def test_links_have_the_requested_host(settings: Settings, host: str) -> None:
    with application(replace(settings, public_url=None)) as app:
        with app.app_context():
            client = people.signed_in(app, people.make_user(is_admin=True))
        make = {"id": 1, "name": "Aston Martin"}
        response = client.post("/v1/makes", json=make, headers={"Host": host})
    assert response.headers["Location"] == f"http://{host}/v1/makes/1"


def test_an_unexpected_error_is_500_without_its_cause_which_is_logged(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    cause = RuntimeError("password=hunter2")

    @app.get("/broken")
    def broken() -> str:
        raise cause

    response = app.test_client().get("/broken")
    shown = assert_problem(response, 500)
    del shown["request_id"]
    assert shown == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Internal error. It has been logged.",
        "instance": "/broken",
    }
    assert logged(caplog, "unexpected_error") == [{"event": "unexpected_error", "exc_info": cause}]


@pytest.mark.parametrize(
    ("error", "status", "name", "description"),
    [
        (Conflict(r'An "x" ö \ ~'), 409, "invalid_request", "An 'x' ' ' ~"),
        (RuntimeError("secret"), 500, "server_error", "Internal error. It has been logged."),
        (
            PoolTimeout("secret"),
            503,
            "temporarily_unavailable",
            "The database is too busy at the moment.",
        ),
        (
            TooManyRequests("Wait.", retry_after=7, policy="p", quota=1),
            429,
            "temporarily_unavailable",
            "Wait.",
        ),
    ],
)
def test_an_error_of_an_oauth_endpoint_has_the_form_of_oauth(
    app: Flask, error: Exception, status: int, name: str, description: str
) -> None:
    @app.get("/oauth/broken")
    def broken() -> str:
        raise error

    response = app.test_client().get("/oauth/broken")
    assert (response.status_code, response.mimetype) == (status, "application/json")
    assert response.get_json() == {"error": name, "error_description": description}
    assert response.headers["Cache-Control"] == "no-store"
    assert ("Retry-After" in response.headers) == (status in (429, 503))


def test_a_pool_without_a_free_connection_is_503_and_is_logged(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    cause = PoolTimeout("QueuePool limit of size 5 reached")

    @app.get("/broken")
    def broken() -> str:
        raise cause

    response = app.test_client().get("/broken")
    detail = assert_problem(response, 503)["detail"]
    assert detail == "The database is too busy at the moment."
    assert response.headers["Retry-After"] == "5"
    assert logged(caplog, "database_unavailable") == [
        {"event": "database_unavailable", "outage": "busy", "exc_info": cause}
    ]


def test_a_violated_constraint_that_no_client_can_cause_is_500(app: Flask) -> None:
    @app.post("/broken")
    def broken() -> str:
        with transaction():
            db.session.execute(insert(VehicleMake).values(id=1, name="Hidden"))
        return ""

    response = app.test_client().post("/broken")
    assert_problem(response, 500)
    assert "name_folded" not in response.text


def test_a_violated_check_is_409_without_its_name(app: Flask) -> None:
    @app.post("/broken")
    def broken() -> str:
        with transaction():
            db.session.execute(insert(VehicleMake).values(id=0, name="x", name_folded="x"))
        return ""

    response = app.test_client().post("/broken")
    assert assert_problem(response, 409)["detail"] == "It conflicts with stored data."


@pytest.mark.parametrize(("method", "status"), [("POST", 422), ("PATCH", 422), ("DELETE", 409)])
def test_a_violated_foreign_key_is_409_for_delete_and_422_otherwise(
    app: Flask, method: str, status: int
) -> None:
    @app.route("/broken", methods=[method])
    def broken() -> str:
        with transaction():
            db.session.execute(
                insert(VehicleModel).values(id=1, make_id=2, name="x", name_folded="x")
            )
        return ""

    response = app.test_client().open("/broken", method=method)
    problem = assert_problem(response, status)
    assert problem["detail"] == "A referenced row does not exist, or this one is still in use."
    assert "vehicle" not in response.text


def test_a_database_that_is_down_is_503_with_retry_after(app: Flask, client: FlaskClient) -> None:
    new = {"id": 1, "name": "Aston Martin"}
    with database_out_of_order(app):
        response = client.post("/v1/makes", json=new)
        assert_problem(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        keyed = client.post("/v1/makes", json=new, headers={"Idempotency-Key": "k"})
        assert_problem(keyed, 503)
        assert client.get("/docs").status_code == 200
        assert_problem(client.get("/nowhere"), 404)


def test_the_application_starts_without_its_database(
    settings: Settings, client: FlaskClient
) -> None:
    nobody = "postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing"
    with application(replace(settings, database_url=nobody)) as app:
        header = {"Authorization": client.environ_base["HTTP_AUTHORIZATION"]}
        response = app.test_client().get("/v1/makes", headers=header)
    assert_problem(response, 503)
    assert "nobody" not in response.text


@contextmanager
def database_out_of_order(app: Flask) -> Iterator[None]:
    """Stop PostgreSQL's database. On SQLite, another process holds the lock."""
    url = make_url(app.config["SQLALCHEMY_DATABASE_URI"])
    if db.engine.dialect.name == "postgresql":
        postgresql.drop_database(url.set(database="postgres"), url)
        yield
        return
    event.listen(db.engine, "connect", lambda c, _: c.execute("PRAGMA busy_timeout = 50"))
    db.session.remove()
    db.engine.dispose()  # The next connection has this timeout.
    other = sqlite3.connect(str(url.database))
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()
