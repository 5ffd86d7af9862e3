"""Sales become purchases, and purchases go through their states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, false, or_, select, union_all

from automart import background
from automart.api import paginate_by
from automart.background import Job, JobState
from automart.catalogue.lookup import find_model
from automart.catalogue.models import VehicleMake
from automart.db import db, fold, insert, table_of, utcnow
from automart.errors import Conflict, Forbidden, NotFound
from automart.purchases import deliveries
from automart.purchases.models import Purchase, PurchaseChange, PurchaseState, RegionalOffice
from automart.purchases.partners import my_make_ids, my_office_id, visible_parts

_PURCHASE = table_of(Purchase)
_CHANGE = table_of(PurchaseChange)


def report_sale(
    external_order_number: str, brand: str, car_model: str, regional_office_id: int | None
) -> background.Job:
    """Submit the recording of a sale of the calling office.

    The office cannot be deleted until the sale is written. Its make can: then the job fails, with a
    409 that says so.
    Raises `Forbidden` for another's `regional_office_id`, `Invalid` for what is not in the
    catalogue, `Conflict` if the order number stands for another car.
    """
    office_id = my_office_id()
    if regional_office_id not in (None, office_id):
        raise Forbidden(f"This client speaks for the office {office_id}.")
    _keep_office(office_id)
    known = _purchase_of(office_id, external_order_number)
    if known is None:
        make, car_model = find_model(brand, car_model, keep=False, model_field="car_model")
        make_id = make.id
    else:
        # Sent again. The car may have left the catalogue meanwhile, and is sold all the same.
        _check_same_car(known, _can_mean_make_of(known, brand), car_model)
        make_id, car_model = known.make_id, known.car_model
    job = background.submit(
        background.Kind.PURCHASE_RECORDING,
        regional_office_id=office_id,
        external_order_number=external_order_number,
        make_id=make_id,
        car_model=car_model,
    )
    if job is None:
        raise RuntimeError("Only a singleton is refused.")
    return job


def record_sale(
    regional_office_id: int, external_order_number: str, make_id: int, car_model: str
) -> Purchase:
    """The purchase of a reported sale, in the present transaction, written unless it is there.

    Raises `Conflict` if the order number stands for another car, `IntegrityError` if the office or
    the make are gone.
    """
    now = utcnow()
    values = {
        "regional_office_id": regional_office_id,
        "external_order_number": external_order_number,
        "make_id": make_id,
        "car_model": car_model,
        "state": PurchaseState.ORDERED,
        "created_at": now,
    }
    fresh = insert(_PURCHASE).values(values).on_conflict_do_nothing().returning(_PURCHASE.c.id)
    purchase_id = db.session.scalar(fresh)
    if purchase_id is not None:
        first = {"purchase_id": purchase_id, "state": PurchaseState.ORDERED, "at": now}
        db.session.execute(insert(_CHANGE).values(first))
    purchase = _purchase_of(regional_office_id, external_order_number)
    if purchase is None:
        raise RuntimeError("It was there a moment ago, and purchases are not deleted.")
    _check_same_car(purchase, purchase.make_id == make_id, car_model)
    return purchase


def check_has_sold_nothing(office: RegionalOffice) -> None:
    """Raise `Conflict` if a locked office has purchases, or sales that are yet to be written."""
    if db.session.scalar(select(exists().where(Purchase.regional_office_id == office.id))):
        raise Conflict(f"Regional office {office.id} still has purchases.")
    being_written = exists().where(
        Job.kind == str(background.Kind.PURCHASE_RECORDING),
        Job.state.in_((JobState.QUEUED, JobState.RUNNING)),
        Job.arguments["regional_office_id"].as_integer() == office.id,
    )
    if db.session.scalar(select(being_written)):
        raise Conflict(f"Sales of the regional office {office.id} are still to be written.")


def visible_purchases() -> Select[Purchase]:
    """The purchases that the present caller may see."""
    return select(Purchase).where(or_(false(), *visible_parts()))


def list_purchases(query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of the purchases that the present caller may see, with the filters of `query`."""
    filters = []
    if query["state"] is not None:
        filters.append(Purchase.state == query["state"])
    if query["brand"] is not None:
        filters.append(_is_of_brand(query["brand"]))
    parts = visible_parts()

    def fetch(last: int | None, count: int) -> Sequence[Purchase]:
        # The next of each part are found by an index in their order; those of all parts at once
        # would be fetched from the first to the last, and sorted.
        rows = select(Purchase.id).where(*filters, Purchase.id > (last or 0))
        nexts = [rows.where(p).order_by(Purchase.id).limit(count).subquery() for p in parts]
        if not nexts:
            return []
        ids = union_all(*(select(part.c.id) for part in nexts)).subquery()
        page = select(Purchase).where(Purchase.id.in_(select(ids.c.id)))
        return db.session.scalars(page.order_by(Purchase.id).limit(count)).all()

    return paginate_by(fetch, Purchase.id, query)


def lock_purchase_to_move(purchase_id: int) -> Purchase:
    """The purchase, locked, if it is of the calling manufacturer's makes. Raises `NotFound`."""
    mine = visible_purchases().where(Purchase.id == purchase_id)
    # FOR NO KEY UPDATE, and the make not with it: other purchases of the make may go on.
    mine = mine.with_for_update(of=Purchase, key_share=True)
    purchase = db.session.scalar(mine.execution_options(populate_existing=True))
    if purchase is None:
        raise NotFound(f"There is no purchase {purchase_id}.")
    return purchase


def move(purchase: Purchase, state: PurchaseState) -> None:
    """Bring a locked purchase into `state`, and have its office told.

    The same state again changes nothing. Raises `Conflict` for one that does not follow.
    """
    previous = purchase.state
    if state is previous:
        return
    if state not in previous.followers:
        raise Conflict(_what_follows(previous, state))
    now = utcnow()
    change = PurchaseChange(purchase_id=purchase.id, previous_state=previous, state=state, at=now)
    purchase.update({"state": state, "updated_at": now})
    purchase.history.append(change)
    db.session.flush()  # gives change.id
    deliveries.announce(purchase, change)


def make_id_of(brand: str) -> int:
    """The calling manufacturer's make of this name. Raises `NotFound`, for another's too."""
    mine = select(VehicleMake).where(VehicleMake.id.in_(my_make_ids()))
    # Compared here and not by the database, to which not every text in a path could be sent.
    makes = {make.name_folded: make.id for make in db.session.scalars(mine)}
    make_id = makes.get(fold(brand.strip()))
    if make_id is None:
        raise NotFound(f"You make no {brand}.")
    return make_id


def _keep_office(office_id: int) -> None:
    """Keep an office from being deleted until the transaction ends. Raises `Forbidden`."""
    office = select(RegionalOffice.id).where(RegionalOffice.id == office_id)
    if db.session.scalar(office.with_for_update(read=True, key_share=True)) is None:
        raise Forbidden(f"The office {office_id} has just been deleted.")


def _purchase_of(office_id: int, order_number: str) -> Purchase | None:
    purchase: Purchase | None = db.session.scalar(
        select(Purchase).where(
            Purchase.regional_office_id == office_id, Purchase.external_order_number == order_number
        )
    )
    return purchase


def _is_of_brand(brand: str) -> ColumnElement[bool]:
    """Whether a purchase is of the make with this name, whatever the case."""
    make = select(VehicleMake.id).where(VehicleMake.name_folded == fold(brand))
    return Purchase.make_id == make.scalar_subquery()


def _can_mean_make_of(purchase: Purchase, brand: str) -> bool:
    """Whether a brand is the make of a purchase, or none of now: the make may have been renamed."""
    named = db.session.scalar(select(VehicleMake.id).where(VehicleMake.name_folded == fold(brand)))
    return named in (None, purchase.make_id)


def _check_same_car(purchase: Purchase, is_of_make: bool, car_model: str) -> None:
    if is_of_make and fold(purchase.car_model) == fold(car_model):
        return
    car = f"{purchase.brand} {purchase.car_model}"
    raise Conflict(
        f"The order number {purchase.external_order_number} stands for another car: {car}.",
        purchase_id=purchase.id,
    )


def _what_follows(previous: PurchaseState, state: PurchaseState) -> str:
    followers = " or ".join(sorted(previous.followers))
    return f"{state} does not follow {previous}: {followers or 'nothing'} does."
