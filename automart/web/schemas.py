"""The base classes of schemas, and schemas that all domains share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

from marshmallow import EXCLUDE, INCLUDE, RAISE, fields, missing, validate
from marshmallow import Schema as MarshmallowSchema

from automart.web.fields import QueryInteger, UtcTime
from automart.web.serialization import compiled

LARGEST_PAGE = 100


class Schema(MarshmallowSchema):
    """Base of all schemas. Unknown fields are rejected."""

    class Meta:
        unknown = RAISE
        ordered = True

    body_may_be_absent = False
    """Whether a request without a body counts as `{}`."""

    example: ClassVar[dict[str, Any] | None] = None
    """A request that succeeds with the samples of a new database."""

    example_changes: ClassVar[dict[str, Any] | None] = None
    """The same for the schema that `changes_of` makes of this one."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Document that a field of responses is always present, unless its metadata says
        `optional`."""
        if field_obj.dump_only:
            field_obj.required = not field_obj.metadata.get("optional")


class Output(Schema):
    """A schema of responses. A field is always present, unless its metadata says `optional`.

    Clients must ignore unknown fields: later releases may add some.
    """

    class Meta(Schema.Meta):
        unknown = EXCLUDE

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Serialize an object, or each of `many`."""
        dump = compiled(type(self))
        return [dump(each) for each in obj] if many else dump(obj)

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.required = not field_obj.metadata.get("optional")


class Resource(Output):
    """A schema of responses with an `id`, which comes first if this is the last base class."""

    id = fields.Integer(metadata={"description": "The id."})


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


class ProblemDetail(Output):
    """One invalid field of a body (`pointer`) or query (`parameter`)."""

    detail = fields.String(metadata={"description": "Why the value is invalid."})
    pointer = fields.String(
        metadata={
            "description": "The field of the body: a JSON pointer (RFC 6901) as a URI fragment.",
            "optional": True,
        }
    )
    parameter = fields.String(
        metadata={"description": "The parameter of the query.", "optional": True}
    )


class ConflictingBooking(Output):
    """A confirmed booking of the same car that overlaps the requested range."""

    booking_id = fields.Integer(metadata={"description": "The id of the booking."})
    start_datetime = UtcTime(metadata={"description": "Its start."})
    end_datetime = UtcTime(metadata={"description": "Its end, which is not part of it."})


class Problem(Schema):
    """An error (RFC 9457). Its media type is `application/problem+json`."""

    class Meta(Schema.Meta):
        unknown = INCLUDE

    type = fields.String(
        required=True,
        metadata={
            "format": "uri-reference",
            "description": "`about:blank`: `title` and `status` say what kind of problem it is.",
        },
    )
    title = fields.String(
        required=True, metadata={"description": "The reason phrase of the status."}
    )
    status = fields.Integer(required=True, metadata={"description": "The HTTP status."})
    detail = fields.String(
        required=True, metadata={"description": "What went wrong with this request."}
    )
    instance = fields.String(
        required=True,
        metadata={"format": "uri-reference", "description": "The path of the request."},
    )
    request_id = fields.String(
        required=True, metadata={"description": "The `X-Request-ID` of the response."}
    )
    errors = fields.List(
        fields.Nested(ProblemDetail),
        metadata={"description": "The invalid fields or parameters (400 and 422)."},
    )
    job_url = fields.String(
        metadata={
            "format": "uri",
            "description": "The vehicle sync that is running already (409).",
        }
    )
    in_the_way = fields.Nested(
        ConflictingBooking,
        metadata={"description": "The booking that overlaps the requested range (409)."},
    )
    parts = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "The state of each service that `/health` checks (503)."},
    )


@cache
def page_of(item: type[Schema]) -> type[Schema]:
    """Return the schema of a page of `item`s."""
    name = item.__name__.removesuffix("Schema") + "Page"
    page = {
        "__doc__": "A page of a list.",
        "items": fields.List(
            fields.Nested(item), metadata={"description": "The items of this page, in order."}
        ),
        "next_cursor": fields.String(
            allow_none=True,
            metadata={"description": "The `cursor` of the next page. Null on the last page."},
        ),
    }
    return type(name, (Output,), page)


def example(
    *, changes: dict[str, Any] | None = None, **values: Any
) -> Callable[[type[Schema]], type[Schema]]:
    """Give a schema of requests an example for the document, and one of its changes."""

    def decorate(schema: type[Schema]) -> type[Schema]:
        schema.example, schema.example_changes = values, changes
        return schema

    return decorate


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
        "__doc__": "The fields to change. Fields that are not sent keep their value.",
        "example": schema.example_changes,
    }
    for name, field in (schema(exclude=exclude).load_fields | more).items():
        changes[name] = copy.copy(field)
        changes[name].required = False
        changes[name].load_default = missing
    return type(f"{noun}Changes", (Schema,), changes)
