"""These tests are not about access: an administrator sends their requests."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient


@pytest.fixture
def client(as_admin: FlaskClient) -> FlaskClient:
    return as_admin
