"""The rules of counts and charts, without HTTP."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from automart.core.db import db, transaction
from automart.core.errors import Conflict, Invalid
from automart.production import service
from automart.production.models import ChartBlock, ChartPoint, Factory, SprocketType
from tests.production.conftest import LOCATION, TYPE


@pytest.fixture
def sprocket_type(app: Flask) -> SprocketType:
    with transaction():
        return service.create_sprocket_type(TYPE)


@pytest.fixture
def factories(app: Flask) -> list[Factory]:
    """Two factories that were created at the time 1,000."""
    with transaction():
        location = service.create_location(LOCATION)
        db.session.flush()
        values = {"name": "Line", "location_id": location.id, "sprocket_production_goal": 5}
        return [service.create_factory(values, at=1_000) for _ in range(2)]


def values(factory: Factory, sprocket_type: SprocketType) -> dict[str, object]:
    return {"name": "S", "factory_id": factory.id, "sprocket_type_id": sprocket_type.id}


def points(factory: Factory) -> list[tuple[int, int, int, int]]:
    columns = (ChartPoint.number, ChartPoint.time, ChartPoint.goal, ChartPoint.actual)
    of_factory = select(*columns).where(ChartPoint.factory_id == factory.id)
    return [tuple(row) for row in db.session.execute(of_factory.order_by(ChartPoint.number))]


def test_every_change_adds_one_point(factories: list[Factory], sprocket_type: SprocketType) -> None:
    one, two = factories
    with transaction():
        sprocket = service.create_sprocket(values(one, sprocket_type), at=1_010)
        service.update_sprocket(sprocket, {"factory_id": two.id}, at=1_020)
        service.update_sprocket(sprocket, {"factory_id": two.id, "name": "T"}, at=1_030)
        service.update_factory(two, {"sprocket_production_goal": 7}, at=1_040)
        service.update_factory(two, {"sprocket_production_goal": 7, "name": "N"}, at=1_050)
        service.delete_sprocket(sprocket, at=1_060)
    assert points(one) == [(0, 1_000, 5, 0), (1, 1_010, 5, 1), (2, 1_020, 5, 0)]
    assert points(two) == [
        (0, 1_000, 5, 0),
        (1, 1_020, 5, 1),
        (2, 1_040, 7, 1),
        (3, 1_060, 7, 0),
    ]
    assert [factory.sprocket_production_actual for factory in factories] == [0, 0]
    assert [factory.chart_length for factory in factories] == [3, 4]


def test_times_do_not_decrease_when_the_clock_is_set_back(
    factories: list[Factory], sprocket_type: SprocketType
) -> None:
    one, _ = factories
    with transaction():
        service.create_sprocket(values(one, sprocket_type), at=1_500)
        service.create_sprocket(values(one, sprocket_type), at=900)
        service.create_sprocket(values(one, sprocket_type), at=1_600)
    assert [time for _, time, _, _ in points(one)] == [1_000, 1_500, 1_500, 1_600]


def test_a_rolled_back_sprocket_is_not_counted(
    factories: list[Factory], sprocket_type: SprocketType
) -> None:
    one, two = factories
    with transaction():
        sprocket = service.create_sprocket(values(one, sprocket_type), at=1_010)

    def make_and_then_fail() -> None:
        with transaction():
            service.create_sprocket(values(two, sprocket_type), at=1_020)
            service.update_sprocket(sprocket, {"factory_id": 999})

    with pytest.raises(Invalid):
        make_and_then_fail()
    assert len(points(one)) == 2
    assert len(points(two)) == 1
    assert db.session.get_one(Factory, two.id, populate_existing=True).chart_length == 1


def test_a_block_contains_the_extremes_of_its_points(
    factories: list[Factory], sprocket_type: SprocketType
) -> None:
    one, _ = factories
    with transaction():
        for _ in range(40):
            service.create_sprocket(values(one, sprocket_type), at=2_000)
        service.update_factory(one, {"sprocket_production_goal": 2}, at=2_000)
        for _ in range(30):
            service.create_sprocket(values(one, sprocket_type), at=2_000)
    blocks = db.session.scalars(select(ChartBlock)).all()
    assert [(block.factory_id, block.number) for block in blocks] == [(one.id, 0)]

    def unpacked(packed: int) -> tuple[int, int]:
        return divmod(packed, 2**33)

    assert unpacked(blocks[0].lowest_actual) == (0, 0)
    assert unpacked(blocks[0].highest_actual) == (62, 63)
    assert unpacked(blocks[0].lowest_goal) == (2, 41)
    assert unpacked(blocks[0].highest_goal) == (5, 40)


def test_rows_that_others_refer_to_are_not_deleted(
    factories: list[Factory], sprocket_type: SprocketType
) -> None:
    one, _ = factories
    with transaction():
        service.create_sprocket(values(one, sprocket_type))
    with pytest.raises(Conflict), transaction():
        service.delete_factory(one)
    with pytest.raises(Conflict), transaction():
        service.delete_sprocket_type(sprocket_type)
    with pytest.raises(Conflict), transaction():
        service.delete_location(one.location)
    assert db.session.get(Factory, one.id) is not None
