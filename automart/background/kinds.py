"""The kinds of jobs: what runs them, in which queue. Named by dotted strings, so that the web
process never imports what only the worker runs."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Queue(enum.StrEnum):
    """A worker serves one queue, so that long work never delays short work."""

    SHORT = "short"
    LONG = "long"
    WEBHOOKS = "webhooks"


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    function: str
    queue: Queue
    cancellable: bool = False
    scope: str | None = None


class Kind(enum.Enum):
    """A kind of job. `function` gets the job's arguments as keyword arguments."""

    VEHICLE_SYNC = _Kind(
        "vehicle_sync",
        "jobs.catalogue.vehicle_sync",
        Queue.LONG,
        cancellable=True,
        scope="catalogue",
    )
    PURCHASE_RECORDING = _Kind(
        "purchase_recording", "jobs.purchases.purchase_recording", Queue.SHORT
    )
    WEBHOOK_DELIVERY = _Kind("webhook_delivery", "jobs.webhooks.webhook_delivery", Queue.WEBHOOKS)

    @property
    def function(self) -> str:
        return self.value.function

    @property
    def queue(self) -> Queue:
        return self.value.queue

    @property
    def cancellable(self) -> bool:
        return self.value.cancellable

    @property
    def scope(self) -> str | None:
        """The scope with which machines start such jobs, and so see all of them."""
        return self.value.scope

    @classmethod
    def named(cls, name: str) -> Kind:
        """The kind called `name` in job rows. Raises `KeyError` if there is none."""
        return _BY_NAME[name]

    def __str__(self) -> str:
        return self.value.name


_BY_NAME = {str(kind): kind for kind in Kind}
KIND_NAMES = tuple(_BY_NAME)
