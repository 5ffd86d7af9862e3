"""How marshmallow's schemas become those of the OpenAPI document."""

from __future__ import annotations

import inspect
from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import fields, validate

from automart.web.fields import TEXT_PATTERN, QueryText
from automart.web.schemas import Output


class SchemaConverter(OpenAPIConverter):
    """apispec's converter with our descriptions, alternatives, enums and limits."""

    def init_attribute_functions(self) -> None:
        """Add our functions after apispec's, whose results they correct."""
        super().init_attribute_functions()  # type: ignore[no-untyped-call]
        for function in (
            _without_null_default,
            _without_read_only,
            _with_enum_type,
            _with_exclusive_limits,
            _with_text_pattern,
            _without_rules_in_answers,
        ):
            self.add_attribute_function(function)  # type: ignore[no-untyped-call]

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        """Describe a schema by its docstring and its `keywords`, and one with `alternatives` as any
        of those."""
        schema_class: Any = resolve_schema_cls(schema)
        alternatives = vars(schema_class).get("alternatives")
        described: dict[str, Any]
        if alternatives:
            described = self._one_of(*alternatives)
        else:
            described = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        described |= vars(schema_class).get("keywords", {})
        if schema_class.__doc__:
            described["description"] = inspect.cleandoc(schema_class.__doc__)
        return described

    def _one_of(self, name: str, schemas: dict[str, Any]) -> dict[str, Any]:
        """Describe schemas of which the value of the field `name` selects one."""
        references = {
            value: self.resolve_nested_schema(schema)  # type: ignore[no-untyped-call]
            for value, schema in schemas.items()
        }
        mapping = {value: reference["$ref"] for value, reference in references.items()}
        return {
            "oneOf": list(references.values()),
            "discriminator": {"propertyName": name, "mapping": mapping},
        }


class SchemaPlugin(MarshmallowPlugin):
    """apispec's plugin with our converter."""

    Converter = SchemaConverter


def _without_null_default(
    _converter: Any, _field: Any, ret: dict[str, Any], **_context: Any
) -> dict[str, Any]:
    """Leave out `default: null`, which means that there is no default."""
    if ret.get("default", ret) is None:
        del ret["default"]
    return {}


def _without_read_only(
    _converter: Any, _field: Any, ret: dict[str, Any], **_context: Any
) -> dict[str, Any]:
    """Leave out `readOnly`: responses have schemas of their own, of which no field is sent."""
    ret.pop("readOnly", None)
    return {}


def _with_enum_type(
    _converter: Any, field: Any, ret: dict[str, Any], **_context: Any
) -> dict[str, Any]:
    """Add the type of an enum, whose values are text."""
    if not isinstance(field, fields.Enum):
        return {}
    return {"type": ["string", "null"] if field.allow_none else "string"}


def _with_exclusive_limits(
    _converter: Any, field: Any, ret: dict[str, Any], **_context: Any
) -> dict[str, Any]:
    """Replace limits that are not allowed values themselves, which apispec takes for allowed."""
    for each in field.validators:
        if isinstance(each, validate.Range):
            if not each.min_inclusive and each.min is not None:
                ret["exclusiveMinimum"] = ret.pop("minimum")
            if not each.max_inclusive and each.max is not None:
                ret["exclusiveMaximum"] = ret.pop("maximum")
    return {}


def _with_text_pattern(
    _converter: Any, field: Any, ret: dict[str, Any], **_context: Any
) -> dict[str, Any]:
    """Add the pattern of text to requests, unless the field has a pattern of its own."""
    if isinstance(field, QueryText) and not isinstance(field.root, Output):
        ret.setdefault("pattern", TEXT_PATTERN)
    return {}


def _without_rules_in_answers(
    _converter: Any, field: Any, ret: dict[str, Any], **_context: Any
) -> dict[str, Any]:
    """Leave out `multipleOf` in responses: many validators compute it with binary fractions."""
    if isinstance(field.root, Output):
        ret.pop("multipleOf", None)
    return {}
