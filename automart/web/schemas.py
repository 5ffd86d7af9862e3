"""The base classes of schemas, and schemas that all domains share."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from marshmallow import INCLUDE, RAISE, fields, missing, validate
from marshmallow import Schema as MarshmallowSchema

from automart.web.fields import QueryInteger
from automart.web.serialization import compiled

LARGEST_PAGE = 100


class Schema(MarshmallowSchema):
    """Base of all schemas. Unknown fields are rejected."""

    class Meta:
        unknown = RAISE
        ordered = True

    body_may_be_absent = False
    """Whether a request without a body counts as `{}`."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Document that a field of responses is always present, unless its metadata says
        `optional`."""
        if field_obj.dump_only:
            field_obj.required = not field_obj.metadata.get("optional")


class Output(Schema):
    """A schema of responses. A field is always present, unless its metadata says `optional`."""

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Serialize an object, or each of `many`."""
        dump = compiled(type(self))
        return [dump(each) for each in obj] if many else dump(obj)

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.required = not field_obj.metadata.get("optional")


class Resource(Output):
    """A schema of responses with an `id`, which comes first if this is the last base class."""

    id = fields.Integer()


class Query(Schema):
    """A schema of query strings, which cannot express null."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.allow_none = False


class PageQuery(Query):
    """The query of a list. Subclasses add filters."""

    limit = QueryInteger(
        load_default=50,
        validate=validate.Range(min=1),
        metadata={"description": "Items per page, from 1 to 100. Larger values count as 100."},
    )
    cursor = fields.String(
        load_default=None,
        metadata={"description": "`next_cursor` of the previous page."},
    )


class ProblemDetail(Schema):
    """One invalid field of a body (`pointer`) or query (`parameter`)."""

    detail = fields.String(required=True)
    pointer = fields.String(
        metadata={"description": "A JSON pointer (RFC 6901) as a URI fragment."}
    )
    parameter = fields.String()


class Problem(Schema):
    """An error (RFC 9457). Some errors have more members than these."""

    class Meta(Schema.Meta):
        unknown = INCLUDE

    type = fields.String(required=True, metadata={"format": "uri-reference"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    instance = fields.String(required=True, metadata={"format": "uri-reference"})
    request_id = fields.String(required=True)
    errors = fields.List(fields.Nested(ProblemDetail))


@cache
def page_of(item: type[Schema]) -> type[Schema]:
    """Return the schema of a page of `item`s."""
    name = item.__name__.removesuffix("Schema") + "Page"
    page = {
        "items": fields.List(fields.Nested(item), required=True),
        "next_cursor": fields.String(required=True, allow_none=True),
    }
    return type(name, (Output,), page)


@cache
def changes_of(
    schema: type[Schema], *, exclude: tuple[str, ...] = (), **more: fields.Field[Any]
) -> type[Schema]:
    """Return the schema of a PATCH: the writable fields of `schema`, all optional.

    `exclude` are fields that only a POST takes, `more` are fields that only a PATCH takes.
    Validators of several fields are not copied. They belong in the service.
    """
    noun = schema.__name__.removeprefix("New").removesuffix("Schema")
    changes: dict[str, Any] = {
        "__doc__": "The fields to change. Fields that are not sent keep their value."
    }
    for name, field in (schema(exclude=exclude).load_fields | more).items():
        changes[name] = copy.copy(field)
        changes[name].required = False
        changes[name].load_default = missing
    return type(f"{noun}Changes", (Schema,), changes)
