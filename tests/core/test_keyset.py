"""Pages of lists whose rows are found in several parts."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from automart.catalogue.models import VehicleMake
from automart.core.db import db, transaction
from automart.core.keyset import among_first


@pytest.mark.usefixtures("app")
class TestAmongFirst:
    @pytest.fixture(autouse=True)
    def _makes(self, app: Flask) -> None:
        with transaction():
            db.session.add_all(VehicleMake(id=n, name=f"Make {n}") for n in range(1, 10))

    @pytest.mark.parametrize(
        ("newest_first", "expected"), [(False, [1, 2, 4, 5]), (True, [5, 6, 8, 9])]
    )
    def test_the_first_of_each_part_are_found(
        self, newest_first: bool, expected: list[int]
    ) -> None:
        key = VehicleMake.id
        parts = [select(key).where(key <= 6), select(key).where(key >= 4)]
        found = among_first(key, parts, 2, newest_first=newest_first)
        assert list(db.session.scalars(select(key).where(found).order_by(key))) == expected

    def test_nothing_is_found_without_parts(self) -> None:
        key = VehicleMake.id
        assert list(db.session.scalars(select(key).where(among_first(key, [], 2)))) == []
