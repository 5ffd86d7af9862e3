"""Who is calling: an office's client, a manufacturer's; and what they may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, true

from automart.accounts import service as accounts
from automart.accounts.models import Client
from automart.api.access import current_caller
from automart.catalogue.models import VehicleMake
from automart.db import db
from automart.errors import Forbidden, Invalid
from automart.purchases.models import (
    Manufacturer,
    PartnerClient,
    Purchase,
    RegionalOffice,
    manufacturer_make,
)

OFFICE_SCOPE = "office"
MANUFACTURER_SCOPE = "manufacturer"


def add_client_of(partner: RegionalOffice | Manufacturer, name: str) -> tuple[Client, str]:
    """A client that speaks for a locked `partner`, and its secret, which is not to be had again."""
    is_office = isinstance(partner, RegionalOffice)
    scope = OFFICE_SCOPE if is_office else MANUFACTURER_SCOPE
    client, secret = accounts.create_service_client(name, [scope])
    column = "regional_office_id" if is_office else "manufacturer_id"
    db.session.add(PartnerClient(client_id=client.id, **{column: partner.id}))
    return client, secret


def delete_partner(partner: RegionalOffice | Manufacturer) -> None:
    """Delete a locked partner, and the clients that speak for it."""
    column = (
        PartnerClient.regional_office_id
        if isinstance(partner, RegionalOffice)
        else PartnerClient.manufacturer_id
    )
    clients = (
        select(Client)
        .join(PartnerClient, PartnerClient.client_id == Client.id)
        .where(column == partner.id)
    )
    for client in db.session.scalars(clients).all():
        accounts.delete_client(client)
    db.session.delete(partner)


def make_for(manufacturer: Manufacturer, make_ids: Sequence[int]) -> None:
    """Say whose cars a manufacturer makes. Raises `Invalid` that points to makes we do not have."""
    wanted = sorted(set(make_ids))
    # Kept from being deleted until the transaction ends.
    found = (
        select(VehicleMake)
        .where(VehicleMake.id.in_(wanted))
        .order_by(VehicleMake.id)
        .with_for_update(read=True, key_share=True)
    )
    makes = list(db.session.scalars(found))
    missing = set(wanted) - {make.id for make in makes}
    if missing:
        place = next(place for place, ident in enumerate(make_ids) if ident in missing)
        raise Invalid.field(f"make_ids/{place}", f"There is no make {make_ids[place]}.")
    manufacturer.makes = makes


def my_office_id() -> int:
    """The office for which the present caller speaks. Raises `Forbidden`."""
    return _mine(PartnerClient.regional_office_id, "a regional office")


def my_make_ids() -> list[int]:
    """The makes of the manufacturer for whom the present caller speaks. Raises `Forbidden`."""
    manufacturer_id = _mine(PartnerClient.manufacturer_id, "a manufacturer")
    makes = select(manufacturer_make.c.make_id).where(
        manufacturer_make.c.manufacturer_id == manufacturer_id
    )
    return list(db.session.scalars(makes.order_by(manufacturer_make.c.make_id)))


def visible_parts() -> list[ColumnElement[bool]]:
    """What purchases the present caller may see, in parts that have nothing in common and an index
    each: people all, offices their own, manufacturers those of each of their makes."""
    caller = current_caller()
    if caller.user_id is not None:
        return [true()]
    if OFFICE_SCOPE in caller.scopes:
        return [Purchase.regional_office_id == my_office_id()]
    return [Purchase.make_id == make_id for make_id in my_make_ids()]


def _mine(column: Any, what: str) -> int:
    mine = select(column).where(PartnerClient.client_id == current_caller().client_id)
    ident: int | None = db.session.scalar(mine)
    if ident is None:
        raise Forbidden(f"This client no longer speaks for {what}.")
    return ident
