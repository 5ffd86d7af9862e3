"""Serialization by compiled schemas.

marshmallow finds every value of every object through several generic functions, which takes most of
the time of a list. Here a schema becomes a list of steps once, with the same result as `dump`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

from marshmallow import Schema, fields, missing

Dump = Callable[[Any], dict[str, Any]]

# Fields of these classes return values of these types as they are, unless they override
# `_serialize`.
_EXACT_TYPES: tuple[tuple[type[fields.Field[Any]], type], ...] = (
    (fields.Integer, int),
    (fields.String, str),
    (fields.Boolean, bool),
    (fields.Float, float),
)


class _Step(NamedTuple):
    key: str
    attribute: str
    exact: type | None
    """Values of this type are returned as they are."""
    convert: Callable[[Any], Any]
    """Returns the JSON value of the attribute's value, or of the whole object."""
    takes_object: bool


@cache
def compiled(schema: type[Schema]) -> Dump:
    """Return a function that serializes an object as `schema().dump` does."""
    instance = schema()
    steps = [_step(instance, name, field) for name, field in instance.dump_fields.items()]

    def dump(thing: Any) -> dict[str, Any]:
        get = thing.get if isinstance(thing, dict) else partial(getattr, thing)
        result = {}
        for key, attribute, exact, convert, takes_object in steps:
            if takes_object:
                value = convert(thing)
            else:
                value = get(attribute, missing)
                if type(value) is not exact and value is not None and value is not missing:
                    value = convert(value)
            if value is not missing:
                result[key] = value
        return result

    return dump


def _step(schema: Schema, name: str, field: fields.Field[Any]) -> _Step:
    key = field.data_key or name
    attribute = field.attribute or name
    is_plain = attribute.isidentifier() and field.dump_default is missing
    if isinstance(field, fields.Function) or not is_plain:

        def serialize(thing: Any) -> Any:
            return field.serialize(name, thing, accessor=schema.get_attribute)

        return _Step(key, attribute, None, serialize, True)
    return _Step(key, attribute, _exact_type(field), _converter(field, attribute), False)


def _exact_type(field: fields.Field[Any]) -> type | None:
    for base, exact in _EXACT_TYPES:
        if isinstance(field, base) and type(field)._serialize is base._serialize:  # noqa: SLF001
            return exact
    return None


def _converter(field: fields.Field[Any], attribute: str) -> Callable[[Any], Any]:
    if type(field) is fields.Nested and not (field.many or field.only or field.exclude):
        return compiled(type(field.schema))
    if type(field) is fields.List:
        convert = _converter(field.inner, attribute)
        return lambda values: [None if each is None else convert(each) for each in values]
    return lambda value: field._serialize(value, attribute, None)  # noqa: SLF001
