"""Tables of jobs, which are also the outbox of their messages, of their files, and of leases."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Any

import uuid6
from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from automart.core.db import Model, utcnow
from automart.core.db_types import enum_column


class JobState(enum.StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


_ACTIVE = text("state IN ('queued', 'running')")
_QUEUED = text("state = 'queued'")
_RUNNING = text("state = 'running'")


class Job(Model):
    """One piece of background work.

    `dispatched_at` says when a message was last put into Redis, and is null while there is none.
    `claim` is the token of the process that runs the job; it may write only while the row has it.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("(state = 'running') = (claim IS NOT NULL)", name="claim"),
        CheckConstraint(
            "(finished_at IS NULL) = (state IN ('queued', 'running'))", name="finished"
        ),
        Index(
            "uq_job_singleton",
            "singleton",
            unique=True,
            sqlite_where=_ACTIVE,
            postgresql_where=_ACTIVE,
        ),
        Index("ix_job_queued", "due_at", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
        Index("ix_job_running", "lease_until", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
        Index("ix_job_kind_id", "kind", "id"),
        Index("ix_job_state_id", "state", "id"),
        Index("ix_job_owner_id", "owner", "id"),
        Index(None, "finished_at"),
    )
    noun = "job"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid6.uuid7)
    kind: Mapped[str] = mapped_column(String(50))
    arguments: Mapped[dict[str, Any]]
    state: Mapped[JobState] = mapped_column(enum_column(JobState), default=JobState.QUEUED)
    singleton: Mapped[str | None] = mapped_column(String(50))
    time_limit: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer, default=0)
    total: Mapped[int | None] = mapped_column(Integer)
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    owner: Mapped[str | None] = mapped_column(String(100))
    request_id: Mapped[str | None] = mapped_column(String(128))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    stalls: Mapped[int] = mapped_column(Integer, default=0)
    done_at_claim: Mapped[int] = mapped_column(Integer, default=0)
    claim: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    due_at: Mapped[datetime] = mapped_column(default=utcnow)
    dispatched_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


SubmittedJob = Job | Row[Any]
"""A job, or its columns."""


class JobInput(Model):
    """A file that a job reads. Housekeeping deletes it after the job has ended."""

    __tablename__ = "job_input"
    noun = "job input"

    job_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("job.id", ondelete="CASCADE"), primary_key=True
    )
    content: Mapped[bytes] = mapped_column(LargeBinary)


class LeaderLease(Model):
    """The exclusive right of one process, the `holder`, to do something until a time."""

    __tablename__ = "lease"
    noun = "lease"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    holder: Mapped[uuid.UUID] = mapped_column(Uuid)
    until: Mapped[datetime]
