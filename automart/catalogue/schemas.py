"""How clients see makes, models and the order for a sync."""

from __future__ import annotations

from marshmallow import fields, validate

from automart.catalogue.models import LONGEST_NAME
from automart.web import PageQuery, Schema
from automart.web.fields import Flag, Id, QueryId, QueryText, Text, UtcTime

MOST_MAKES_OF_A_SYNC = 50_000


class MakeSchema(Schema):
    """A make of vehicles, under NHTSA's id."""

    id = Id(required=True)
    name = Text(required=True, max_length=LONGEST_NAME)
    synced_at = UtcTime(dump_only=True, allow_none=True)


class MakeChanges(Schema):
    name = Text(max_length=LONGEST_NAME)


def name_filter() -> QueryText:
    return QueryText(load_default=None, metadata={"description": "The whole name, in any case."})


class MakeQuery(PageQuery):
    name = name_filter()


class MakeOfModelSchema(Schema):
    id = fields.Integer(required=True)
    name = fields.String(required=True)


class ModelSchema(Schema):
    """A model of a make, under NHTSA's id."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    make = fields.Nested(MakeOfModelSchema, required=True)


class ModelOfMakeQuery(PageQuery):
    """The models of one make."""


class ModelQuery(PageQuery):
    make_id = QueryId(load_default=None)
    name = name_filter()


class VehicleSyncRequest(Schema):
    """Which makes to sync (all, if absent), and whether to let their models be deleted in mass."""

    body_may_be_absent = True

    make_ids = fields.List(
        Id(), load_default=None, allow_none=True, validate=validate.Length(1, MOST_MAKES_OF_A_SYNC)
    )
    approve_deletions = Flag(load_default=False)
