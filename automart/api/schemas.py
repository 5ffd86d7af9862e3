"""The base of all schemas, and the schemas that every domain's documents share."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from marshmallow import INCLUDE, RAISE, fields, missing, validate
from marshmallow import Schema as MarshmallowSchema

from automart.api.fields import QueryInteger

LARGEST_PAGE = 100


class Schema(MarshmallowSchema):
    """What comes in and goes out. A field that the schema does not know is refused."""

    class Meta:
        unknown = RAISE
        ordered = True

    body_may_be_absent = False
    """Whether a request without any body is taken for `{}`."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """What only goes out is always there, unless its metadata says `optional`; so say so."""
        if field_obj.dump_only:
            field_obj.required = not field_obj.metadata.get("optional")


class Query(Schema):
    """What may stand in a query string, where there is no null."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.allow_none = False


class PageQuery(Query):
    """The query of a list. A subclass adds its filters."""

    limit = QueryInteger(
        load_default=50,
        validate=validate.Range(min=1),
        metadata={"description": "Items on a page, 1 to 100; above 100 counts as 100."},
    )
    cursor = fields.String(
        load_default=None,
        metadata={"description": "`next_cursor` of the page before."},
    )


class ProblemDetail(Schema):
    """One wrong field of a body (`pointer`) or of a query (`parameter`)."""

    detail = fields.String(required=True)
    pointer = fields.String(metadata={"description": "A JSON pointer (RFC 6901) with `#` before."})
    parameter = fields.String()


class ProblemSchema(Schema):
    """What went wrong (RFC 9457). Some problems have members of their own beside these."""

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
    """The schema of one page of `item`s."""
    name = item.__name__.removesuffix("Schema") + "Page"
    page = {
        "items": fields.List(fields.Nested(item), required=True),
        "next_cursor": fields.String(required=True, allow_none=True),
    }
    return type(name, (Schema,), page)


@cache
def changes_of(schema: type[Schema]) -> type[Schema]:
    """Return the schema of a PATCH of what `schema` describes: its writable fields, all optional.

    Validators that read several fields are not taken over: they belong into the service.
    """
    noun = schema.__name__.removeprefix("New").removesuffix("Schema")
    changes: dict[str, Any] = {
        "__doc__": "The fields to change. Fields that are not sent keep their value."
    }
    for name, field in schema().load_fields.items():
        changes[name] = copy.copy(field)
        changes[name].required = False
        changes[name].load_default = missing
    return type(f"{noun}Changes", (Schema,), changes)
