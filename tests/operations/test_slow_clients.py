"""A slow client occupies a thread while it sends, and nothing else."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from automart.core.db import db
from tests.support.http import Watched, assert_problem


def test_a_request_whose_body_is_arriving_uses_no_connection(
    app: Flask, as_user: FlaskClient
) -> None:
    content = b'{"first_name": "Zo\xc3\xab", "last_name": "Quick"}'
    for method, path, chunked in (
        ("POST", "/v1/customers", False),
        ("POST", "/v1/customers", True),
        ("PATCH", "/v1/customers/1", False),
    ):
        body = Watched(app, content)
        db.session.rollback()
        response = as_user.open(
            path,
            method=method,
            input_stream=body,
            content_type="application/json",
            content_length=None if chunked else len(content),
            environ_overrides={"wsgi.input_terminated": chunked},
        )
        assert response.status_code in (200, 201), response.text
        assert body.in_use == {0}


def test_a_chunked_body_that_is_too_large_is_refused(app: Flask, as_user: FlaskClient) -> None:
    body = Watched(app, b" " * 1_100_000)
    response = as_user.post(
        "/v1/customers",
        input_stream=body,
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert_problem(response, 413)
    assert body.tell() <= 1_000_001  # codespell:ignore tell
