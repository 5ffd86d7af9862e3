"""Submit decodings of VINs, store what NHTSA answers, and show it in the catalogue's spelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from automart import background
from automart.catalogue.models import VehicleMake, VehicleModel
from automart.core.db import db, insert, utcnow
from automart.vins.decoding import NOT_ANSWERED, Decoding
from automart.vins.models import VinDecoding

KEPT_FOR = timedelta(days=30)
# NHTSA may be asked twice, for a minute each time, and may order pauses of another minute.
TIME_LIMIT = 240


def submit_decoding(vins: Sequence[str], *, owner: str | None = None) -> background.SubmittedJob:
    """Submit the job that decodes VINs in capitals."""
    job = background.submit(
        background.kinds.VIN_DECODING, time_limit=TIME_LIMIT, owner=owner, vins=list(vins)
    )
    if job is None:
        raise RuntimeError("Only a job with a singleton or a query can be refused.")
    return job


def find_decodings(vins: Sequence[str]) -> dict[str, Decoding]:
    """Return the stored decodings of these VINs that are recent enough."""
    recent = select(VinDecoding.vin, VinDecoding.answer).where(
        VinDecoding.vin.in_(vins), VinDecoding.decoded_at > utcnow() - KEPT_FOR
    )
    return {vin: Decoding.from_json(answer) for vin, answer in db.session.execute(recent)}


def store_decodings(decodings: Mapping[str, Decoding]) -> None:
    """Store decodings in the current transaction, in place of earlier ones."""
    if not decodings:
        return
    now = utcnow()
    # In one order: two jobs that store the same VINs would otherwise deadlock.
    rows = [
        {"vin": vin, "decoded_at": now, "answer": decodings[vin].to_json()}
        for vin in sorted(decodings)
    ]
    new = insert(VinDecoding).values(rows)
    changed = {name: new.excluded[name] for name in ("decoded_at", "answer")}
    db.session.execute(new.on_conflict_do_update(index_elements=["vin"], set_=changed))


def describe_vehicles(
    vins: Sequence[str], decodings: Mapping[str, Decoding]
) -> list[dict[str, Any]]:
    """Return the vehicles of `VinDecodingResult`, in the order of `vins`."""
    unanswered = Decoding(warnings=[NOT_ANSWERED])
    makes, models = _catalogue_names(decodings)
    vehicles = []
    for vin in vins:
        found = decodings.get(vin, unanswered)
        names = {
            "make": makes.get(found.make_id, found.make),
            "model": models.get((found.make_id, found.model_id), found.model),
        }
        vehicles.append({"vin": vin} | found.to_json() | names)
    return vehicles


def _catalogue_names(
    decodings: Mapping[str, Decoding],
) -> tuple[dict[int | None, str], dict[tuple[int | None, int | None], str]]:
    """Return the catalogue's names of makes by id, and of models by the ids of make and model."""
    make_ids = {each.make_id for each in decodings.values()} - {None}
    model_ids = {each.model_id for each in decodings.values()} - {None}
    makes = select(VehicleMake.id, VehicleMake.name).where(VehicleMake.id.in_(make_ids))
    models = select(VehicleModel.make_id, VehicleModel.id, VehicleModel.name)
    return (
        {row.id: row.name for row in db.session.execute(makes)},
        {
            (make_id, ident): name
            for make_id, ident, name in db.session.execute(
                models.where(VehicleModel.id.in_(model_ids))
            )
        },
    )
