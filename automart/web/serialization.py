"""Serialization by compiled schemas.

marshmallow finds every value of every object through several generic functions, which takes most of
the time of a list. Here a schema becomes a list of steps once, with the same result as `dump`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from marshmallow import Schema, fields, missing

from automart.web.fields import UtcTime, rfc3339

Convert = Callable[[Any], Any]
Dump = Callable[[Any], dict[str, Any]]

# Fields of these classes return values of these types as they are, unless they override
# `_serialize`.
_EXACT_TYPES: tuple[tuple[type[fields.Field[Any]], type], ...] = (
    (fields.Integer, int),
    (fields.String, str),
    (fields.Boolean, bool),
    (fields.Float, float),
)


class _Value(NamedTuple):
    key: str
    exact: type | None
    """Values of this type are returned as they are."""
    convert: Convert


@cache
def compiled(schema: type[Schema]) -> Dump:
    """Return a function that serializes an object as `schema().dump` does."""
    instance = schema()
    keys = [field.data_key or name for name, field in instance.dump_fields.items()]
    empty: dict[str, Any] = dict.fromkeys(keys)  # it has the order
    attributes: dict[str, str] = {}
    values: list[_Value] = []
    computed: list[tuple[str, Convert]] = []
    for name, field in instance.dump_fields.items():
        key = field.data_key or name
        attribute = field.attribute or name
        if isinstance(field, fields.Function) or not _is_plain(field, attribute):
            computed.append((key, _compute(instance, name, field)))
        else:
            attributes[key] = attribute
            values.append(_Value(key, _exact_type(field), _converter(field, attribute)))
    get = _getter(attributes)

    def dump(thing: Any) -> dict[str, Any]:
        result = empty.copy()
        result.update(get(thing))
        for key, exact, convert in values:
            value = result[key]
            if type(value) is not exact and value is not None and value is not missing:
                result[key] = convert(value)
        for key, convert in computed:
            result[key] = convert(thing)
        if missing in result.values():
            return {key: value for key, value in result.items() if value is not missing}
        return result

    return dump


def _getter(attributes: dict[str, str]) -> Callable[[Any], Iterable[tuple[str, Any]]]:
    """Return a function that returns the value of each attribute, `missing` if there is none."""
    keys, names = list(attributes), list(attributes.values())
    # With one name it returns the value itself.
    get_all = attrgetter(*names) if len(names) > 1 else None

    def get(thing: Any) -> Iterable[tuple[str, Any]]:
        if isinstance(thing, dict):
            return zip(keys, [thing.get(name, missing) for name in names], strict=True)
        if get_all is not None:
            try:
                return zip(keys, get_all(thing), strict=True)
            except AttributeError:
                pass  # some are missing
        return zip(keys, [getattr(thing, name, missing) for name in names], strict=True)

    return get


def _is_plain(field: fields.Field[Any], attribute: str) -> bool:
    return attribute.isidentifier() and field.dump_default is missing


def _compute(schema: Schema, name: str, field: fields.Field[Any]) -> Convert:
    """Return a function of the whole object."""
    if type(field) is fields.Function and field.serialize_func is not None:
        serialize: Convert = field.serialize_func
        return serialize
    return lambda thing: field.serialize(name, thing, accessor=schema.get_attribute)


def _exact_type(field: fields.Field[Any]) -> type | None:
    for base, exact in _EXACT_TYPES:
        if isinstance(field, base) and type(field)._serialize is base._serialize:  # noqa: SLF001
            return exact
    return None


def _converter(field: fields.Field[Any], attribute: str) -> Convert:
    if type(field) is UtcTime:
        return rfc3339
    if type(field) is fields.Nested and not (field.many or field.only or field.exclude):
        return compiled(type(field.schema))
    if type(field) is fields.List:
        convert = _converter(field.inner, attribute)
        return lambda values: [None if each is None else convert(each) for each in values]
    return lambda value: field._serialize(value, attribute, None)  # noqa: SLF001
