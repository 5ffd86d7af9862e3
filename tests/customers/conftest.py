"""Fixtures of the tests of customers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from automart.core.config import Settings


@pytest.fixture
def ada(as_user: FlaskClient) -> dict[str, Any]:
    """Return a customer as the API shows it."""
    values = {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"}
    response = as_user.post("/v1/customers", json=values)
    assert response.status_code == 201
    answer: dict[str, Any] = response.get_json()
    return answer


@pytest.fixture
def photos(settings: Settings) -> Path:
    """Return the folder of the photos."""
    return settings.instance / "photos"
