"""The rules of makes, the lookup of models by name, and the start of a sync."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, case, func, select

from automart import background
from automart.background.service import active_job, has_active_job
from automart.catalogue.changes import Change, next_id, record_by_hand
from automart.catalogue.models import (
    LARGEST_NHTSA_ID,
    Counter,
    MakeOfChange,
    ModelChangeKind,
    Source,
    VehicleMake,
    VehicleModel,
)
from automart.catalogue.nhtsa import LONGEST_PAUSE_OF_SYNC
from automart.core.batches import batched
from automart.core.compiled_statement import CompiledStatement
from automart.core.config import current_settings
from automart.core.db import (
    db,
    get_or_404,
    get_referenced,
    lock_name,
    lock_or_404,
    read,
    table_of,
)
from automart.core.errors import FIELDS_ARE_WRONG, Conflict, Invalid
from automart.core.text import name_key
from automart.web import absolute_url

SINGLETON = "vehicle_sync"
OWN_IDS = "ids of own makes and models"
# The owner of nightly syncs.
SCHEDULER = "schedule"
# A nightly sync that could not start in time, because no worker ran or another sync did, may start
# this much later.
NIGHTLY_SYNC_TOLERANCE = timedelta(hours=1)
MAX_ERRORS = 20
MIN_TIME_LIMIT_SECONDS = 600


_MAKE, _MODEL = table_of(VehicleMake), table_of(VehicleModel)
# NHTSA has models whose names have the same key. An exact match is preferred.
_MODEL_NAME = (
    select(_MODEL.c.name)
    .where(_MODEL.c.make_id == _MAKE.c.id, _MODEL.c.name_folded == bindparam("model_key"))
    .order_by(case((_MODEL.c.name == bindparam("exact"), 0), else_=1), _MODEL.c.id)
    .limit(1)
    .scalar_subquery()
)
_MAKE_WITH_MODEL = CompiledStatement(
    select(_MAKE.c.id, _MAKE.c.name, _MODEL_NAME.label("model")).where(
        _MAKE.c.name_folded == bindparam("make_key")
    )
)


class SyncRunning(Conflict):
    """Another sync is queued or running."""

    def __init__(self, job: background.Job) -> None:
        super().__init__("Another sync is queued or running. Wait for its end, or cancel it.")
        # Read now: the transaction is rolled back before the response is made.
        self.job_id = job.id

    def as_problem(self) -> dict[str, Any]:
        return super().as_problem() | {"job_url": absolute_url("jobs.JobById", job_id=self.job_id)}


def create_make(values: Mapping[str, Any]) -> VehicleMake:
    """Add a make, one of our own without an `id`. Raises `IntegrityError` if the id or the name is
    taken."""
    ident = values.get("id") or _next_own_id(Counter.OWN_MAKE)
    make = VehicleMake(**{**values, "id": ident})
    db.session.add(make)
    return make


def update_make(make: VehicleMake, changes: Mapping[str, Any]) -> None:
    """Update a locked make. Raises `IntegrityError` if another one has the new name."""
    make.update(changes)


def delete_make(make: VehicleMake) -> None:
    """Delete a make that was locked `before_delete`, and its models.

    Raises `Conflict` if offices reported sales of it that are not recorded yet, `IntegrityError` if
    cars, purchases or manufacturers refer to it.
    """
    if has_active_job(background.kinds.PURCHASE_RECORDING, "make_id", make.id):
        raise Conflict(f"Make {make.id} has sales that are not recorded yet.")
    of_make = select(VehicleModel.id, VehicleModel.name).where(VehicleModel.make_id == make.id)
    models = db.session.execute(of_make.order_by(VehicleModel.id).with_for_update()).all()
    db.session.delete(make)
    _record(make, *(Change(ModelChangeKind.DELETED, *model) for model in models))


def create_model(values: Mapping[str, Any]) -> VehicleModel:
    """Add a model of our own. Raises `Invalid` if there is no such make, `Conflict` if it has a
    model with this name."""
    ident = _next_own_id(Counter.OWN_MODEL)
    make = get_referenced(VehicleMake, "make_id", values["make_id"])
    _check_model_name(make, values["name"])
    model = VehicleModel(id=ident, make=make, name=values["name"])
    db.session.add(model)
    _record(make, Change(ModelChangeKind.CREATED, model.id, model.name))
    return model


def lock_own_model(model_id: int) -> VehicleModel:
    """Lock a model of our own. Raises `NotFound`, `Conflict` for one of NHTSA's."""
    lock_name(OWN_IDS)
    make_id = get_or_404(VehicleModel, model_id).make_id
    if Source.of(model_id) is Source.NHTSA:
        raise Conflict("Only syncs change the models of NHTSA.")
    # A sync locks the make first, too.
    lock_or_404(VehicleMake, make_id)
    return lock_or_404(VehicleModel, model_id)


def update_model(model: VehicleModel, changes: Mapping[str, Any]) -> None:
    """Update a locked model. Raises `Conflict` if its make has another one with the new name."""
    name, previous = changes.get("name", model.name), model.name
    if name == previous:
        return
    _check_model_name(model.make, name, except_id=model.id)
    model.update(changes)
    _record(model.make, Change(ModelChangeKind.RENAMED, model.id, name, previous_name=previous))


def delete_model(model: VehicleModel) -> None:
    """Delete a locked model. Cars keep its name."""
    db.session.delete(model)
    _record(model.make, Change(ModelChangeKind.DELETED, model.id, model.name))


def _record(make: VehicleMake, *changes: Change) -> None:
    record_by_hand(MakeOfChange(make.id, make.name), changes)


def _next_own_id(counter: Counter) -> int:
    lock_name(OWN_IDS)
    return next_id(counter, start=LARGEST_NHTSA_ID)


def _check_model_name(make: VehicleMake, name: str, except_id: int = 0) -> None:
    namesake = select(VehicleModel.id).where(
        VehicleModel.make_id == make.id,
        VehicleModel.name_folded == name_key(name),
        VehicleModel.id != except_id,
    )
    if db.session.scalar(namesake.limit(1)) is not None:
        raise Conflict(f"{make.name} has a model with this name already.")


def find_model(brand: str, model: str, *, model_field: str = "model") -> tuple[int, str]:
    """Return the id of a make, and the name of one of its models as the catalogue spells it.

    Names are compared by `name_key`. Raises `Invalid` that points to `brand` or `model_field`.
    """
    keys = {"make_key": name_key(brand), "model_key": name_key(model)}
    makes: Sequence[Row[Any]] = read(_MAKE_WITH_MODEL, **keys, exact=model)
    if not makes:
        raise Invalid.field("brand", f"There is no make {brand} in the catalogue.")
    (make,) = makes
    if make.model is None:
        raise Invalid.field(model_field, f"{make.name} has no model {model} in the catalogue.")
    return make.id, make.model


def start_sync(
    make_ids: Sequence[int] | None,
    approve_deletions: bool,
    *,
    dry_run: bool = False,
    owner: str | None = None,
) -> background.SubmittedJob:
    """Submit a sync of these makes, or of all. Return the active one if it has equal arguments.

    Raises `SyncRunning` if another one is active, `Invalid` for unknown makes.
    """
    if approve_deletions and make_ids is None:
        raise Invalid.field(
            "approve_deletions", "Needs make_ids: deletions are approved make by make."
        )
    wanted = None if make_ids is None else sorted(set(make_ids))
    if make_ids is not None:
        _check_known(make_ids)
    arguments: dict[str, Any] = {"make_ids": wanted, "approve_deletions": approve_deletions}
    if dry_run:  # workers of the previous release take no such argument
        arguments["dry_run"] = True
    job = background.submit(
        background.kinds.VEHICLE_SYNC,
        singleton=SINGLETON,
        time_limit=_time_limit(wanted),
        owner=owner,
        **arguments,
    )
    if job is not None:
        return job
    running = active_job(SINGLETON)
    if running is None:  # it ended between the two statements
        return start_sync(make_ids, approve_deletions, dry_run=dry_run, owner=owner)
    if running.arguments != arguments:
        raise SyncRunning(running)
    return running


def last_night(at: time, now: datetime) -> datetime:
    """Return when the latest nightly sync was due, if it is due every day `at` a time."""
    due = datetime.combine(now.date(), at, tzinfo=now.tzinfo)
    return due if due <= now else due - timedelta(days=1)


def _check_known(make_ids: Sequence[int]) -> None:
    known: set[int] = set()
    for part in batched(make_ids):
        known.update(db.session.scalars(select(VehicleMake.id).where(VehicleMake.id.in_(part))))
    errors = []
    for place, make_id in enumerate(make_ids):
        if make_id not in known:
            detail = f"There is no make {make_id}."
        elif Source.of(make_id) is Source.OWN:
            detail = f"NHTSA does not have make {make_id}, which is one of your own."
        else:
            continue
        errors.append({"detail": detail, "pointer": f"#/make_ids/{place}"})
    if errors:
        raise Invalid(FIELDS_ARE_WRONG, errors=errors[:MAX_ERRORS])


def _time_limit(wanted: Sequence[int] | None) -> int:
    """Return three times the seconds that the pace alone takes: some requests are repeated. NHTSA
    may order pauses in addition."""
    settings = current_settings()
    count = (
        len(wanted) if wanted is not None else db.session.scalar(select(func.count(VehicleMake.id)))
    )
    seconds_each = (
        1 / settings.nhtsa_requests_per_second if settings.nhtsa_requests_per_second else 1
    )
    return (
        MIN_TIME_LIMIT_SECONDS + int(LONGEST_PAUSE_OF_SYNC) + int(3 * seconds_each * (count or 0))
    )
