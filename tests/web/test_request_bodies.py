"""Bodies that the server cannot read."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from gunicorn.http.errors import InvalidChunkSize, NoMoreData

from tests.support.databases import on_sqlite
from tests.support.http import assert_problem


class Broken:
    """A body that cannot be read. Like those of gunicorn, it has no `readinto`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, _size: int) -> bytes:
        raise self._error


LATE = "The body did not arrive in time."
MALFORMED = "The chunks of the body are malformed, or end too early."
CLOSED = "The connection was closed before the end of the body."


@on_sqlite
@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (TimeoutError(), 408, LATE),
        (BlockingIOError(), 408, LATE),
        (InvalidChunkSize(b"x"), 400, MALFORMED),
        (NoMoreData(), 400, MALFORMED),
        (ConnectionResetError(), 400, CLOSED),
    ],
)
def test_a_body_that_cannot_be_read_is_an_error_of_the_client(
    client: FlaskClient, error: Exception, status: int, detail: str
) -> None:
    environ = {"wsgi.input": Broken(error), "CONTENT_LENGTH": "10"}
    response = client.post("/v1/makes", content_type="application/json", environ_overrides=environ)
    assert assert_problem(response, status)["detail"] == detail
