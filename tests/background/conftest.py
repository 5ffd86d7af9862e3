"""An administrator sends the requests of these tests: access is not their subject."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient


@pytest.fixture
def client(as_admin: FlaskClient) -> FlaskClient:
    return as_admin
