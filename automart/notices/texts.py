"""The texts of notices."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from automart.core.config import current_settings

MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class HeldMake:
    """A make that is held, and why."""

    make_id: int
    name: str
    reason: str | None = None

    def __str__(self) -> str:
        text = f"- {self.name} ({self.make_id})"
        return f"{text}: {self.reason}" if self.reason else text


@dataclass(frozen=True, slots=True)
class Text:
    """The title and the body of a notice."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class NightlySync:
    """What an operator must know of a nightly sync that has ended."""

    job_id: uuid.UUID
    started_at: datetime
    failure: str | None = None
    not_requested: int = 0
    why_not_requested: str | None = None
    held: Sequence[HeldMake] = ()

    @property
    def needs_attention(self) -> bool:
        return bool(self.failure or self.not_requested or self.held)

    def text(self) -> Text:
        happened, parts = [], []
        if self.failure:
            happened.append("failed")
            parts.append(self.failure)
        if self.not_requested:
            happened.append("gave up")
            makes = count_of(self.not_requested)
            parts.append(f"{makes} kept their models. {self.why_not_requested or ''}".strip())
        if self.held:
            happened.append(f"holds {count_of(len(self.held))}")
            parts.append(
                f"{_listed(self.held)}\n\nNothing of what is held has changed. To see it model by"
                " model: automart sync --held. To approve it: automart sync --make ID"
                " --approve-deletions"
            )
        parts.append(
            f"It started at {self.started_at:%Y-%m-%d %H:%M} UTC. {_reference(self.job_id)}"
        )
        title = f"Automart: the nightly sync {' and '.join(happened)}"
        return Text(title, "\n\n".join(parts))


def not_started(due: datetime, running: uuid.UUID) -> Text:
    """Return the notice that a nightly sync was given up before it started."""
    body = (
        f"It was due at {due:%Y-%m-%d %H:%M} UTC. Another sync was queued or running for an hour,"
        f" so the next one starts in the following night. {_reference(running)}"
    )
    return Text("Automart: the nightly sync was not started", body)


def no_longer_held(makes: Sequence[HeldMake]) -> Text:
    """Return the notice that these makes are no longer held."""
    is_one = len(makes) == 1
    verb = "is" if is_one else "are"
    title = f"Automart: {count_of(len(makes))} {verb} no longer held"
    body = f"{_listed(makes)}\n\nTheir changes were applied, or are no longer many."
    return Text(title, body.replace("Their", "Its") if is_one else body)


def count_of(makes: int) -> str:
    """Return a number of makes in words."""
    return f"{makes:,} make" if makes == 1 else f"{makes:,} makes"


def _listed(makes: Sequence[HeldMake]) -> str:
    lines = [str(make) for make in makes[:MOST_NAMED]]
    others = len(makes) - MOST_NAMED
    return "\n".join([*lines, f"- and {others:,} more"] if others > 0 else lines)


def _reference(job_id: uuid.UUID) -> str:
    public_url = current_settings().public_url
    return f"{public_url}/jobs/{job_id}" if public_url else f"Its job is {job_id}."
