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


class Engine(Output):
    power = Number()
    parts = fields.List(fields.String())


class Vehicle(Output):
    id = fields.Integer()
    name = fields.String()
    is_new = fields.Boolean()
    colour = fields.Enum(Colour, by_value=True)
    built = UtcTime(data_key="builtAt")
    engine = fields.Nested(Engine)
    spare = fields.List(fields.Nested(Engine))
    power = fields.Float(attribute="engine.power")
    label = fields.Function(lambda thing: f"<{thing['name'] if isinstance(thing, dict) else ''}>")
    wheels = fields.Integer(dump_default=4)
    price = fields.Decimal(as_string=True)


def vehicle(**values: Any) -> dict[str, Any]:
    full: dict[str, Any] = {
        "id": 7,
        "name": "Zoë",
        "is_new": True,
        "colour": Colour.RED,
        "built": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2))),
        "engine": {"power": 1.5, "parts": ["a", None, "b"]},
        "spare": [{"power": 2}, {"parts": []}],
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
    for thing in (values, SimpleNamespace(**values)):
        try:
            expected = MarshmallowSchema.dump(Vehicle(), thing)
        except (TypeError, KeyError, ValueError) as error:
            with pytest.raises(type(error)):
                Vehicle().dump(thing)
            continue
        shown = Vehicle().dump(thing)
        assert shown == expected
        assert list(shown) == list(expected)
