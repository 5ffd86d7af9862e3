"""Leases for what only one process may do at a time."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from flask import Flask

from automart.background.maintenance import hold_lease

MINUTE = timedelta(minutes=1)
OVER = timedelta(seconds=-1)


@pytest.fixture(autouse=True)
def _application(app: Flask) -> None:
    """Leases are in the database."""


class TestHoldLease:
    def test_a_lease_has_one_holder(self) -> None:
        first, second = uuid.uuid4(), uuid.uuid4()
        assert hold_lease("housekeeping", first, MINUTE) is True
        assert hold_lease("housekeeping", second, MINUTE) is False
        assert hold_lease("housekeeping", first, MINUTE) is True

    def test_an_expired_lease_is_taken_over(self) -> None:
        first, second = uuid.uuid4(), uuid.uuid4()
        assert hold_lease("housekeeping", first, OVER) is True
        assert hold_lease("housekeeping", second, MINUTE) is True
        assert hold_lease("housekeeping", first, MINUTE) is False

    def test_leases_are_independent_of_each_other(self) -> None:
        assert hold_lease("housekeeping", uuid.uuid4(), MINUTE) is True
        assert hold_lease("other", uuid.uuid4(), MINUTE) is True
