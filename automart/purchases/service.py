"""Recording sales as purchases, and changing the states of purchases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, false, or_, select, true
from sqlalchemy import insert as plain_insert
from sqlalchemy.sql.dml import ReturningInsert

from automart import background
from automart.catalogue.models import VehicleMake
from automart.catalogue.service import find_model
from automart.core.compiled_statement import CompiledStatement
from automart.core.db import db, for_update, insert, read, table_of, utcnow
from automart.core.errors import Conflict, Forbidden, Invalid, NotFound
from automart.core.keyset import among_first
from automart.core.text import name_key
from automart.partners.models import OFFICE_SCOPE
from automart.partners.service import KEPT_OFFICE, current_make_ids, current_office_id
from automart.purchases.events import state_changed
from automart.purchases.models import Purchase, PurchaseChange, PurchaseState
from automart.web.authorization import current_caller
from automart.webhooks.deliveries import enqueue_delivery
from automart.webhooks.service import lock_endpoint_of

_PURCHASE = table_of(Purchase)
_MAKE = table_of(VehicleMake)
_FIRST_CHANGE = plain_insert(table_of(PurchaseChange))
_ID_BY_ORDER_NUMBER = CompiledStatement(
    select(_PURCHASE.c.id).where(
        _PURCHASE.c.regional_office_id == bindparam("office_id"),
        _PURCHASE.c.external_order_number == bindparam("order_number"),
    )
)
_MAKE_BY_ID = CompiledStatement(select(_MAKE.c.id).where(_MAKE.c.id == bindparam("make_id")))
# Locks the rows of both FOR KEY SHARE: that and a deletion wait for each other, a sync does not.
_KEPT_OFFICE_AND_MAKE = KEPT_OFFICE.join(_MAKE, _MAKE.c.id == bindparam("make_id"))
_TICK = timedelta(microseconds=1)


def submit_sale(
    external_order_number: str, brand: str, car_model: str, regional_office_id: int | None
) -> background.SubmittedJob:
    """Submit the job that records a sale of the calling office, in the current transaction or in
    one of its own.

    The office and the make cannot be deleted before the sale is recorded.
    Raises `Forbidden` for another office's `regional_office_id`, `Invalid` for a car that is not in
    the catalogue, `Conflict` if the order number belongs to another car.
    """
    office_id = current_office_id()
    if regional_office_id not in (None, office_id):
        raise Forbidden(f"This client acts for regional office {office_id}.")
    known = _find_purchase(office_id, external_order_number)
    if known is None:
        make_id, car_model = find_model(brand, car_model, model_field="car_model")
    else:
        # A repeated report is valid even if the car has left the catalogue since the first one.
        _check_same_car(known, _can_be_make_of(known, brand), car_model)
        make_id, car_model = known.make_id, known.car_model
    job = background.submit(
        background.kinds.PURCHASE_RECORDING,
        while_found=_KEPT_OFFICE_AND_MAKE,
        regional_office_id=office_id,
        external_order_number=external_order_number,
        make_id=make_id,
        car_model=car_model,
    )
    if job is None:
        if not read(_MAKE_BY_ID, make_id=make_id):  # deleted since it was found
            raise Invalid.field("brand", f"There is no make {brand} in the catalogue.")
        raise Forbidden(f"Regional office {office_id} has just been deleted.")
    return job


def create_purchase(
    regional_office_id: int, external_order_number: str, make_id: int, car_model: str
) -> Mapping[str, Any]:
    """Store a reported sale and return the values of its purchase.

    Raises `Conflict` if the order number belongs to another car, `IntegrityError` if the office or
    the make does not exist any more.
    """
    now = utcnow()
    values = {
        "regional_office_id": regional_office_id,
        "external_order_number": external_order_number,
        "make_id": make_id,
        "car_model": car_model,
        "state": PurchaseState.ORDERED,
        "created_at": now,
        "updated_at": now,
    }
    parameters = values | {"of_make": make_id}
    fresh = db.session.execute(_fresh(db.engine.dialect.name), parameters).one_or_none()
    if fresh is not None:
        first = {"purchase_id": fresh.id, "state": PurchaseState.ORDERED, "at": now}
        db.session.execute(_FIRST_CHANGE, first)
        return values | {"id": fresh.id, "brand": fresh.brand, "history": [first]}
    purchase = _find_purchase(regional_office_id, external_order_number)
    if purchase is None:
        raise RuntimeError("The purchase was stored before, and purchases are never deleted.")
    _check_same_car(purchase, purchase.make_id == make_id, car_model)
    stored = {name: getattr(purchase, name) for name in values}
    return stored | {"id": purchase.id, "brand": purchase.brand, "history": purchase.history}


@cache
def _fresh(_dialect: str) -> ReturningInsert[Any]:
    """Return an INSERT of a purchase that returns nothing if the order number exists."""
    brand = select(_MAKE.c.name).where(_MAKE.c.id == bindparam("of_make")).scalar_subquery()
    new = insert(_PURCHASE).on_conflict_do_nothing()
    return new.returning(_PURCHASE.c.id, brand.label("brand"))


def visible_purchases() -> Select[Purchase]:
    """Return a query of the purchases that the current caller may see."""
    return select(Purchase).where(or_(false(), *_visible_parts()))


def visible_purchases_after(
    query: Mapping[str, Any],
) -> Callable[[int | None, int], Sequence[Purchase]]:
    """Return a function for `paginate_by`.

    It finds the purchases that the current caller may see and that match `query`.
    """
    filters = []
    if query["state"] is not None:
        filters.append(Purchase.state == query["state"])
    if query["brand"] is not None:
        filters.append(_is_of_make(query["brand"]))
    parts = _visible_parts()

    def fetch(last: int | None, count: int) -> Sequence[Purchase]:
        rows = select(Purchase.id).where(*filters, Purchase.id > (last or 0))
        nexts = [rows.where(part) for part in parts]
        page = select(Purchase).where(among_first(Purchase.id, nexts, count))
        return db.session.scalars(page.order_by(Purchase.id).limit(count)).all()

    return fetch


def get_purchase(purchase_id: int) -> Purchase:
    """Return a purchase that the current caller may see. Raises `NotFound`."""
    return _visible_purchase(visible_purchases(), purchase_id)


def lock_purchase(purchase_id: int) -> Purchase:
    """Return a purchase that the current caller may see, locked. Raises `NotFound`."""
    return _visible_purchase(for_update(visible_purchases(), Purchase), purchase_id)


def update_purchase_state(purchase: Purchase, state: PurchaseState) -> None:
    """Change the state of a locked purchase and notify its regional office.

    Does nothing if the purchase has this state already. Raises `Conflict` if `state` does not
    follow the current one.
    """
    previous = purchase.state
    if state is previous:
        return
    if state not in previous.followers:
        raise Conflict(_allowed_states(previous, state))
    # Receivers order events by this time. The clocks of two web hosts may disagree.
    at = max(utcnow(), purchase.history[-1].at + _TICK)
    change = PurchaseChange(purchase_id=purchase.id, previous_state=previous, state=state, at=at)
    purchase.update({"state": state, "updated_at": at})
    purchase.history.append(change)
    endpoint = lock_endpoint_of(purchase.regional_office_id)
    enqueue_delivery(endpoint, state_changed(purchase, change))


def _visible_parts() -> list[ColumnElement[bool]]:
    """Return disjoint filters, each backed by an index, whose union the current caller may see.

    People see all purchases, offices their own, manufacturers those of each of their makes.
    """
    caller = current_caller()
    if caller.user_id is not None:
        return [true()]
    if OFFICE_SCOPE in caller.scopes:
        return [Purchase.regional_office_id == current_office_id()]
    return [Purchase.make_id == make_id for make_id in current_make_ids()]


def _visible_purchase(visible: Select[Purchase], purchase_id: int) -> Purchase:
    purchase: Purchase | None = db.session.scalar(visible.where(Purchase.id == purchase_id))
    if purchase is None:
        raise NotFound(f"There is no purchase {purchase_id}.")
    return purchase


def _find_purchase(office_id: int, order_number: str) -> Purchase | None:
    found = read(_ID_BY_ORDER_NUMBER, office_id=office_id, order_number=order_number)
    return db.session.get_one(Purchase, found[0].id) if found else None


def _is_of_make(key: str) -> ColumnElement[bool]:
    """Whether the make of a purchase has this `name_folded`."""
    make = select(VehicleMake.id).where(VehicleMake.name_folded == key)
    return Purchase.make_id == make.scalar_subquery()


def _can_be_make_of(purchase: Purchase, brand: str) -> bool:
    """Return whether a brand is the make of a purchase, or unknown: makes can be renamed."""
    key = name_key(brand)
    if key == name_key(purchase.brand):
        return True
    named = db.session.scalar(select(VehicleMake.id).where(VehicleMake.name_folded == key))
    return named in (None, purchase.make_id)


def _check_same_car(purchase: Purchase, is_of_make: bool, car_model: str) -> None:
    if is_of_make and name_key(purchase.car_model) == name_key(car_model):
        return
    car = f"{purchase.brand} {purchase.car_model}"
    raise Conflict(
        f"Order number {purchase.external_order_number} belongs to another car: {car}.",
        purchase_id=purchase.id,
    )


def _allowed_states(previous: PurchaseState, state: PurchaseState) -> str:
    followers = " or ".join(sorted(previous.followers)) or "nothing"
    return f"{state} does not follow {previous}. Allowed: {followers}."
