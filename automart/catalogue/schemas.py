"""Makes, models and syncs, as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from automart.catalogue.models import LARGEST_NHTSA_ID, LONGEST_NAME, ModelChangeKind, Source
from automart.core.db_types import LARGEST_ID
from automart.web import Output, PageQuery, Resource, Schema, changes_of, example
from automart.web.fields import (
    Flag,
    Id,
    Integer,
    QueryFlag,
    QueryId,
    QueryInteger,
    QueryName,
    Text,
    UtcTime,
)

MAX_MAKES_PER_SYNC = 50_000


class SourceOfId(fields.String):
    """The source of a make or model, which follows from its id."""

    def __init__(self) -> None:
        super().__init__(
            attribute="id",
            dump_only=True,
            validate=validate.OneOf(list(Source)),
            metadata={"description": "`nhtsa`, or `own` for one that NHTSA does not have."},
        )

    def _serialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        return Source.of(value).value


@example(id=440, name="Aston Martin")
class NewMake(Schema):
    """A make of vehicles with NHTSA's id, or one of our own without an id."""

    id = Integer(
        validate=validate.Range(min=1, max=LARGEST_NHTSA_ID),
        metadata={"description": "NHTSA's id of the make. Without it, the make is one of our own."},
    )
    name = Text(
        required=True,
        max_length=LONGEST_NAME,
        metadata={"description": "The name of the make, which no other make has."},
    )


@example(name="Isuzu Motors")
class MakeChanges(Schema):
    """The fields to change."""

    name = Text(
        max_length=LONGEST_NAME,
        metadata={"description": "The name of the make, which no other make has."},
    )


class Make(NewMake, Output):
    """A make of vehicles with NHTSA's id, or one of our own."""

    id = Integer(
        metadata={"description": "NHTSA's id of the make. Ids of our own begin at 1000000000001."}
    )
    source = SourceOfId()
    synced_at = UtcTime(
        allow_none=True,
        metadata={"description": "When NHTSA's models of this make were last stored."},
    )


class MakeQuery(PageQuery):
    name = QueryName()


class MakeOfModel(Resource):
    """The make of a model."""

    name = fields.String(metadata={"description": "The name of the make."})


class VehicleModel(Resource):
    """A model of a make with NHTSA's id, or one of our own."""

    name = fields.String(metadata={"description": "The name of the model."})
    source = SourceOfId()
    make = fields.Nested(MakeOfModel, metadata={"description": "The make of the model."})


@example(changes={"name": "Prelude Si"}, make_id=474, name="Prelude")
class NewVehicleModel(Schema):
    """A model of our own, which NHTSA does not have."""

    make_id = Id(required=True, metadata={"description": "The id of its make."})
    name = Text(
        required=True,
        max_length=LONGEST_NAME,
        metadata={"description": "The name of the model, which no other model of the make has."},
    )


VehicleModelChanges = changes_of(NewVehicleModel, exclude=("make_id",))


class ModelQuery(PageQuery):
    make_id = QueryId(load_default=None, metadata={"description": "Only models of this make."})
    name = QueryName()


class ModelChange(Resource):
    """What became of a model, or what would have become of it."""

    at = UtcTime(metadata={"description": "The time of the change."})
    sync_id = fields.UUID(
        allow_none=True,
        metadata={"description": "The job of the sync. Null for a change by hand."},
    )
    make = fields.Nested(
        MakeOfModel, metadata={"description": "The make of the model, as it was called then."}
    )
    model_id = fields.Integer(metadata={"description": "The id of the model."})
    change = fields.Enum(
        ModelChangeKind,
        by_value=True,
        metadata={
            "description": "`moved` from another make; `adopted` instead of a model of our own."
        },
    )
    name = fields.String(
        metadata={"description": "The name of the model. Of a deleted one, what it was."}
    )
    previous_name = fields.String(
        allow_none=True, metadata={"description": "Its name before the change, if that differs."}
    )
    previous_make_id = fields.Integer(
        allow_none=True, metadata={"description": "The make from which it moved."}
    )
    replaced_id = fields.Integer(
        allow_none=True,
        metadata={"description": "The model of our own whose place an adopted one took."},
    )
    applied = fields.Boolean(
        metadata={
            "description": "False for a change of a held make or of a dry run, which was not made."
        }
    )


class ModelChangeQuery(PageQuery):
    after = QueryInteger(
        load_default=None,
        validate=validate.Range(min=0, max=LARGEST_ID),
        metadata={"description": "Only changes after this one: the last `id` that you have read."},
    )
    make_id = QueryId(load_default=None, metadata={"description": "Only changes of this make."})
    model_id = QueryId(load_default=None, metadata={"description": "Only changes of this model."})
    sync_id = fields.UUID(
        load_default=None, metadata={"description": "Only changes of the sync with this job."}
    )
    applied = QueryFlag(
        load_default=None,
        metadata={"description": "Only changes that were made, or only those that were not."},
    )


@example(make_ids=[474])
class NewVehicleSync(Schema):
    """The makes to sync, by default all, whether to apply deletions that were held, and whether to
    change anything."""

    body_may_be_absent = True

    make_ids = fields.List(
        Id(),
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, MAX_MAKES_PER_SYNC),
        metadata={"description": "The makes to sync. By default all."},
    )
    approve_deletions = Flag(
        load_default=False,
        metadata={"description": "Whether to apply deletions even if they are many."},
    )
    dry_run = Flag(
        load_default=False,
        metadata={
            "description": "Whether to change nothing, and to give the result as if it had. The"
            " changes are listed with `applied` false."
        },
    )


class _MakeOfSync(Output):
    id = fields.Integer(metadata={"description": "The id of the make."})
    name = fields.String(metadata={"description": "The name of the make."})


class UpdatedMake(_MakeOfSync):
    """A make whose models have changed."""

    created = fields.Integer(metadata={"description": "The number of new models."})
    updated = fields.Integer(metadata={"description": "The number of renamed models."})
    deleted = fields.Integer(metadata={"description": "The number of deleted models."})


class HeldMake(_MakeOfSync):
    """A make whose models were not changed, because too many would be deleted."""

    would_delete = fields.Integer(
        metadata={"description": "The number of models that NHTSA no longer has."}
    )
    reason = fields.String(metadata={"description": "Why the deletions were held."})


class FailedMake(_MakeOfSync):
    """A make that could not be updated."""

    reason = fields.String(metadata={"description": "Why it failed."})


class SyncResult(Output):
    """The changes of a vehicle sync."""

    makes_updated = fields.List(
        fields.Nested(UpdatedMake), metadata={"description": "The makes that have changed."}
    )
    makes_unchanged = fields.Integer(
        metadata={"description": "The number of makes that were up to date."}
    )
    makes_held = fields.List(
        fields.Nested(HeldMake),
        metadata={"description": "The makes whose deletions `approve_deletions` would apply."},
    )
    makes_failed = fields.List(
        fields.Nested(FailedMake), metadata={"description": "The makes that could not be updated."}
    )
