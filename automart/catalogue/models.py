"""Makes and models with NHTSA's ids, and the outcome of a sync for each make."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, String, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from automart.core.db import Model
from automart.core.db_types import BigId, enum_column
from automart.core.text import name_key

LONGEST_NAME = 255
# Ids above it are those of our own makes and models. NHTSA's have at most six digits.
LARGEST_NHTSA_ID = 1_000_000_000_000
LONGEST_REASON = 500
_IS_HELD = text("held_since IS NOT NULL")
_IS_OF_SYNC = text("sync_id IS NOT NULL")
_IS_PROPOSAL = text("proposed_by IS NOT NULL")


class Source(enum.StrEnum):
    """Where a make or model comes from, which its id says."""

    NHTSA = "nhtsa"
    OWN = "own"

    @classmethod
    def of(cls, ident: int) -> Source:
        return cls.OWN if ident > LARGEST_NHTSA_ID else cls.NHTSA


class VehicleMake(Model):
    """A make with NHTSA's id, or one of our own. Names are compared by `name_folded`.

    `held_since` says since when its changes wait for approval, and is null if none do.
    """

    __tablename__ = "vehicle_make"
    __table_args__ = (
        CheckConstraint("id >= 1", name="id"),
        CheckConstraint("name <> ''", name="name"),
        Index(
            "uq_vehicle_make_name_folded",
            "name_folded",
            unique=True,
            info={"problem": "There is a make with this name already."},
        ),
        Index(None, "held_since", sqlite_where=_IS_HELD, postgresql_where=_IS_HELD),
    )
    noun = "make"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    name_folded: Mapped[str] = mapped_column(String(LONGEST_NAME * 3))
    synced_at: Mapped[datetime | None]
    held_since: Mapped[datetime | None]

    @validates("name")
    def _fold_name(self, _key: str, name: str) -> str:
        self.name_folded = name_key(name)
        return name


class VehicleModel(Model):
    """A model with NHTSA's id, which only the sync writes, or one of our own."""

    __tablename__ = "vehicle_model"
    __table_args__ = (
        CheckConstraint("id >= 1", name="id"),
        CheckConstraint("name <> ''", name="name"),
        Index(None, "make_id", "id"),
        Index(None, "name_folded", "id"),
    )
    noun = "model"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    make_id: Mapped[int] = mapped_column(ForeignKey("vehicle_make.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    name_folded: Mapped[str] = mapped_column(String(LONGEST_NAME * 3))

    make: Mapped[VehicleMake] = relationship(lazy="joined", innerjoin=True)

    @validates("name")
    def _fold_name(self, _key: str, name: str) -> str:
        self.name_folded = name_key(name)
        return name


class OutcomeState(enum.StrEnum):
    """The outcome of one make in one sync."""

    PENDING = "pending"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    HELD = "held"
    FAILED = "failed"


class SyncOutcome(Model):
    """One make in one sync: pending at first, later its outcome.

    `make_id` is not a foreign key, because an outcome is kept when its make is deleted.
    """

    __tablename__ = "sync_outcome"
    __table_args__ = (Index(None, "job_id", "state", "make_id"),)
    noun = "outcome"

    job_id: Mapped[uuid.UUID] = mapped_column(
        Uuid, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True
    )
    make_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    make_name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    state: Mapped[OutcomeState] = mapped_column(enum_column(OutcomeState))
    created: Mapped[int] = mapped_column(Integer, default=0)
    updated: Mapped[int] = mapped_column(Integer, default=0)
    deleted: Mapped[int] = mapped_column(Integer, default=0)
    would_delete: Mapped[int] = mapped_column(Integer, default=0)
    reason: Mapped[str | None] = mapped_column(String(LONGEST_REASON))


class ModelChangeKind(enum.StrEnum):
    """What became of a model."""

    CREATED = "created"
    RENAMED = "renamed"
    MOVED = "moved"
    DELETED = "deleted"
    ADOPTED = "adopted"


class MakeOfChange(NamedTuple):
    """A make at the time of a change."""

    id: int
    name: str


class ModelChange(Model):
    """What became of one model, or would have: a proposal.

    Makes, models and the jobs of syncs may be deleted, and the change is kept. A proposal is
    deleted with the job that `proposed_by` names.
    """

    __tablename__ = "model_change"
    __table_args__ = (
        Index(None, "make_id", "id"),
        Index(None, "model_id", "id"),
        Index(None, "sync_id", "id", sqlite_where=_IS_OF_SYNC, postgresql_where=_IS_OF_SYNC),
        Index(
            None,
            "proposed_by",
            "previous_make_id",
            sqlite_where=_IS_PROPOSAL,
            postgresql_where=_IS_PROPOSAL,
        ),
        Index(
            "ix_model_change_proposals",
            "id",
            sqlite_where=_IS_PROPOSAL,
            postgresql_where=_IS_PROPOSAL,
        ),
    )
    noun = "change of a model"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    sync_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    proposed_by: Mapped[uuid.UUID | None] = mapped_column(
        Uuid, ForeignKey("job.id", ondelete="CASCADE")
    )
    make_id: Mapped[int] = mapped_column(BigId)
    make_name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    model_id: Mapped[int] = mapped_column(BigId)
    change: Mapped[ModelChangeKind] = mapped_column(enum_column(ModelChangeKind, "change"))
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    previous_name: Mapped[str | None] = mapped_column(String(LONGEST_NAME))
    previous_make_id: Mapped[int | None] = mapped_column(BigId)
    replaced_id: Mapped[int | None] = mapped_column(BigId)

    @property
    def make(self) -> MakeOfChange:
        return MakeOfChange(self.make_id, self.make_name)

    @property
    def applied(self) -> bool:
        return self.proposed_by is None


class Counter(enum.StrEnum):
    """The counters of ids that are never used again."""

    OWN_MAKE = "own_make"
    OWN_MODEL = "own_model"
    MODEL_CHANGE = "model_change"
    PUBLISHED_CHANGE = "published_change"


class IdCounter(Model):
    """The last id of a counter. The row is missing until the first one."""

    __tablename__ = "id_counter"
    noun = "counter"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    last: Mapped[int] = mapped_column(BigId)
