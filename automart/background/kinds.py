"""All queues and kinds of jobs. The functions are dotted strings, because the web process never
imports what only workers run."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Queue(enum.StrEnum):
    """A worker serves one queue, so that long work never delays short work.

    `INTERACTIVE` is for work that people wait for, and that is not short.
    """

    SHORT = "short"
    LONG = "long"
    INTERACTIVE = "interactive"
    WEBHOOKS = "webhooks"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job. `function` is called with the job's arguments as keyword arguments.

    `result` is the schema of its results. Service clients with `scope` may start jobs of this kind,
    and so see all of them.
    """

    name: str
    function: str
    result: str
    queue: Queue
    cancellable: bool = False
    scope: str | None = None


VEHICLE_SYNC = Kind(
    "vehicle_sync",
    "jobs.catalogue.vehicle_sync",
    "automart.catalogue.schemas.SyncResult",
    Queue.LONG,
    cancellable=True,
    scope="catalogue",
)
PURCHASE_RECORDING = Kind(
    "purchase_recording",
    "jobs.purchases.purchase_recording",
    "automart.purchases.schemas.Purchase",
    Queue.SHORT,
)
CSV_IMPORT = Kind(
    "csv_import",
    "jobs.csv_imports.csv_import",
    "automart.background.schemas.ImportResult",
    Queue.INTERACTIVE,
)
VIN_DECODING = Kind(
    "vin_decoding",
    "jobs.vins.vin_decoding",
    "automart.vins.schemas.VinDecodingResult",
    Queue.INTERACTIVE,
)
WEBHOOK_DELIVERY = Kind(
    "webhook_delivery",
    "jobs.webhooks.webhook_delivery",
    "automart.webhooks.schemas.DeliveryResult",
    Queue.WEBHOOKS,
)
NOTICE_DELIVERY = Kind(
    "notice_delivery",
    "jobs.notices.notice_delivery",
    "automart.background.schemas.NoticeResult",
    Queue.WEBHOOKS,
)

KINDS = {
    kind.name: kind
    for kind in (
        VEHICLE_SYNC,
        PURCHASE_RECORDING,
        CSV_IMPORT,
        VIN_DECODING,
        WEBHOOK_DELIVERY,
        NOTICE_DELIVERY,
    )
}
