"""A user, an application, and tokens that the application got for the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from automart.accounts.models import User
from automart.accounts.service import create_application
from automart.core.db import transaction
from tests.oauth.pages import (
    CALLBACK,
    code_for,
    exchange,
    log_in,
)


@pytest.fixture
def ann(make_user: Callable[..., User]) -> User:
    return make_user(email="ann@example.com")


@pytest.fixture
def front(app: Flask) -> str:
    """Return the client id of an application."""
    with transaction():
        return create_application("Front end", [CALLBACK]).id


@pytest.fixture
def browser(app: Flask, ann: User) -> FlaskClient:
    """Return a browser in which Ann is logged in."""
    browser = app.test_client()
    assert log_in(browser, ann.email).status_code == 303
    return browser


@pytest.fixture
def tokens(client: FlaskClient, browser: FlaskClient, front: str) -> dict[str, Any]:
    """Return the tokens that the application got for a code."""
    response = exchange(client, front, code_for(browser, front))
    assert response.status_code == 200
    found: dict[str, Any] = response.get_json()
    return found
