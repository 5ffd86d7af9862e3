"""Makes, models and syncs, as the API takes and shows them."""

from __future__ import annotations

from marshmallow import fields, validate

from automart.catalogue.models import LONGEST_NAME
from automart.web import Output, PageQuery, Resource, Schema
from automart.web.fields import Flag, Id, QueryId, QueryName, Text, UtcTime

MAX_MAKES_PER_SYNC = 50_000


class NewMake(Schema):
    """A make of vehicles with NHTSA's id."""

    id = Id(required=True)
    name = Text(required=True, max_length=LONGEST_NAME)


class MakeChanges(Schema):
    """The fields to change. The id stays NHTSA's."""

    name = Text(max_length=LONGEST_NAME)


class Make(NewMake, Output):
    """A make of vehicles with NHTSA's id."""

    synced_at = UtcTime(
        allow_none=True,
        metadata={"description": "When NHTSA's models of this make were last stored."},
    )


class MakeQuery(PageQuery):
    name = QueryName()


class MakeOfModel(Resource):
    """The make of a model."""

    name = fields.String()


class Model(Resource):
    """A model of a make with NHTSA's id."""

    name = fields.String()
    make = fields.Nested(MakeOfModel)


class ModelQuery(PageQuery):
    make_id = QueryId(load_default=None)
    name = QueryName()


class NewVehicleSync(Schema):
    """The makes to sync, by default all, and whether to apply deletions that were held."""

    body_may_be_absent = True

    make_ids = fields.List(
        Id(), load_default=None, allow_none=True, validate=validate.Length(1, MAX_MAKES_PER_SYNC)
    )
    approve_deletions = Flag(load_default=False)
