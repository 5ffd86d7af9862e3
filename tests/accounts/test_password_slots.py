"""How many passwords are hashed at the same time."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from automart.accounts import passwords
from tests.support.databases import on_sqlite
from tests.support.http import assert_problem


@on_sqlite
def test_a_login_that_waits_long_for_others_is_503_with_retry_after(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "WAITING_SECONDS", 0.01)
    body = {"email": "ann@example.com", "password": "four words nobody guesses"}
    for _ in range(passwords.MOST_AT_ONCE):
        passwords._slots.acquire()
    try:
        response = client.post("/login", json=body)
    finally:
        for _ in range(passwords.MOST_AT_ONCE):
            passwords._slots.release()
    assert_problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert client.post("/login", json=body).status_code == 401
