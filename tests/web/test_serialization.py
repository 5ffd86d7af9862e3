"""Compiled schemas serialize as marshmallow does."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from marshmallow import Schema as MarshmallowSchema
from marshmallow import fields

from automart.web import Output
from automart.web.fields import Number, UtcTime


class Colour(enum.StrEnum):
    RED = "red"


def vehicle_schema() -> type[Output]:
    """Return a new schema, which is not compiled yet."""

    class Maker(Output):
        name = fields.String()

    class Engine(Output):
        power = Number()
        parts = fields.List(fields.String())

    class Vehicle(Output):
        id = fields.Integer()
        name = fields.String()
        is_new = fields.Boolean()
        colour = fields.Enum(Colour, by_value=True)
        built = UtcTime(data_key="builtAt")
        seen = fields.List(UtcTime())
        weight = Number(attribute="mass")
        maker = fields.Nested(Maker)
        engine = fields.Nested(Engine)
        spare = fields.List(fields.Nested(Engine))
        others = fields.Nested(Engine, many=True)
        rating = fields.Nested(Engine, only=("power",))
        content = fields.Nested(Engine, exclude=("power",))
        power = fields.Float(attribute="engine.power")
        kind = fields.Function(lambda thing: type(thing).__name__, data_key="Kind")
        wheels = fields.Integer(dump_default=4)
        price = fields.Decimal(as_string=True)

    return Vehicle


def vehicle(**values: Any) -> dict[str, Any]:
    full: dict[str, Any] = {
        "id": 7,
        "name": "Zoë",
        "is_new": True,
        "colour": Colour.RED,
        "built": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2))),
        "engine": {"power": 1.5, "parts": ["a", None, "b"]},
        "spare": [{"power": 2}, {"parts": []}],
        "seen": [datetime(2026, 1, 2, tzinfo=UTC), None],
        "mass": 1200,
        "maker": {"name": "Renault"},
        "others": [{"power": 3, "parts": ["c"]}],
        "rating": {"power": 4.0, "parts": ["d"]},
        "content": {"power": 5.0, "parts": ["e"]},
        "price": 10,
    }
    return full | values


CASES: list[dict[str, Any]] = [
    {},
    vehicle(),
    vehicle(engine=None, spare=None, built=None, colour=None, name=None, wheels=None),
    vehicle(id=True, is_new=1, name=5, wheels=3, price=10),
    vehicle(built=datetime(2026, 1, 2, tzinfo=UTC), engine={}, spare=[]),
]


@pytest.mark.parametrize("values", CASES)
def test_a_compiled_schema_serializes_mappings_and_objects_as_marshmallow_does(
    values: dict[str, Any],
) -> None:
    schema = vehicle_schema()()
    for thing in (values, SimpleNamespace(**values)):
        expected = MarshmallowSchema.dump(schema, thing)
        shown = schema.dump(thing)
        assert shown == expected
        assert list(shown) == list(expected)


def test_a_schema_of_one_field_is_compiled_too() -> None:
    class Named(Output):
        name = fields.String()

    for thing in ({"name": "Zoë"}, SimpleNamespace(name="Zoë")):
        assert Named().dump(thing) == {"name": "Zoë"}
    assert Named().dump([{"name": "a"}, {}], many=True) == [{"name": "a"}, {}]
