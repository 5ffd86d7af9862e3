"""The rules of regional offices and manufacturers, and the partner that the caller acts for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.exc import IntegrityError

from automart.accounts import service as accounts
from automart.accounts.models import Client
from automart.background import kinds
from automart.background.service import has_active_job
from automart.catalogue.models import VehicleMake
from automart.core.compiled_statement import CompiledStatement
from automart.core.db import db, lock_or_404, read, table_of
from automart.core.errors import Conflict, Forbidden, Invalid, NotFound
from automart.core.text import name_key, trim
from automart.partners.models import (
    MANUFACTURER_SCOPE,
    OFFICE_SCOPE,
    Manufacturer,
    PartnerClient,
    RegionalOffice,
    manufacturer_make,
)
from automart.web.authorization import current_caller
from automart.webhooks import service as webhooks

_PARTNER = table_of(PartnerClient)
_OFFICE_OF_CLIENT, _MANUFACTURER_OF_CLIENT = (
    CompiledStatement(
        select(partner.label("id")).where(_PARTNER.c.client_id == bindparam("client_id"))
    )
    for partner in (_PARTNER.c.regional_office_id, _PARTNER.c.manufacturer_id)
)
KEPT_OFFICE = (
    select(table_of(RegionalOffice).c.id)
    .where(table_of(RegionalOffice).c.id == bindparam("regional_office_id"))
    .with_for_update(read=True, key_share=True)
)
"""Finds an office, and keeps it from being deleted until the transaction ends."""

# A field of an office, and what it is called on the office's webhook endpoint.
_ENDPOINT_FIELDS = {"webhook_url": "url", "webhook_enabled": "enabled"}


def create_office(values: Mapping[str, Any]) -> tuple[RegionalOffice, str]:
    """Add a regional office with its webhook endpoint. Return it and its signing secret."""
    office = RegionalOffice(name=values["name"])
    db.session.add(office)
    db.session.flush()  # gives office.id
    office.endpoint, secret = webhooks.create_endpoint(office.id, **_endpoint_values(values))
    return office, secret


def lock_office(office_id: int, *, before_delete: bool = False) -> RegionalOffice:
    """Return a regional office, freshly read and locked with its endpoint. Raises `NotFound`."""
    office = lock_or_404(RegionalOffice, office_id, before_delete=before_delete)
    webhooks.lock_endpoint(office.endpoint.id)
    return office


def update_office(office: RegionalOffice, changes: Mapping[str, Any]) -> None:
    """Change a locked office. Pending deliveries fail if its webhook is turned off."""
    if "name" in changes:
        office.name = changes["name"]
    webhooks.update_endpoint(office.endpoint, _endpoint_values(changes))


def rotate_office_secret(office: RegionalOffice) -> str:
    """Add a signing secret to a locked office and return it. Earlier ones sign for 24 hours."""
    return webhooks.rotate_secret(office.endpoint)


def delete_office(office: RegionalOffice) -> None:
    """Delete an office that was locked `before_delete`, and its clients.

    Raises `Conflict` if it has purchases, or reported sales that are not recorded yet.
    """
    if has_active_job(kinds.PURCHASE_RECORDING, "regional_office_id", office.id):
        raise Conflict(f"Regional office {office.id} has sales that are not recorded yet.")
    try:
        with db.session.begin_nested():
            _delete_clients(PartnerClient.regional_office_id == office.id)
            webhooks.delete_endpoint(office.endpoint)
            db.session.delete(office)
    except IntegrityError:
        # Purchases refer to their office. They are unknown here, but not to the database.
        raise Conflict(f"Regional office {office.id} still has purchases.") from None


def create_manufacturer(values: Mapping[str, Any]) -> Manufacturer:
    """Add a manufacturer. Raises `Invalid` for makes that do not exist."""
    manufacturer = Manufacturer(name=values["name"], makes=_existing_makes(values["make_ids"]))
    db.session.add(manufacturer)
    db.session.flush()  # gives manufacturer.id
    return manufacturer


def lock_manufacturer(manufacturer_id: int, *, before_delete: bool = False) -> Manufacturer:
    """Return a manufacturer, freshly read and locked. Raises `NotFound`."""
    return lock_or_404(Manufacturer, manufacturer_id, before_delete=before_delete)


def update_manufacturer(manufacturer: Manufacturer, changes: Mapping[str, Any]) -> None:
    """Change a locked manufacturer. Raises `Invalid` for makes that do not exist."""
    if "name" in changes:
        manufacturer.name = changes["name"]
    if "make_ids" in changes:
        manufacturer.makes = _existing_makes(changes["make_ids"])


def delete_manufacturer(manufacturer: Manufacturer) -> None:
    """Delete a manufacturer that was locked `before_delete`, and its clients."""
    _delete_clients(PartnerClient.manufacturer_id == manufacturer.id)
    db.session.delete(manufacturer)


def create_office_client(office: RegionalOffice, name: str) -> tuple[Client, str]:
    """Add a client that acts for a locked office. Return it and its secret."""
    client, secret = accounts.create_service_client(name, [OFFICE_SCOPE])
    db.session.add(PartnerClient(client_id=client.id, regional_office_id=office.id))
    return client, secret


def create_manufacturer_client(manufacturer: Manufacturer, name: str) -> tuple[Client, str]:
    """Add a client that acts for a locked manufacturer. Return it and its secret."""
    client, secret = accounts.create_service_client(name, [MANUFACTURER_SCOPE])
    db.session.add(PartnerClient(client_id=client.id, manufacturer_id=manufacturer.id))
    return client, secret


def current_office_id() -> int:
    """Return the id of the office that the current caller acts for. Raises `Forbidden`."""
    return _current_partner(_OFFICE_OF_CLIENT, "a regional office")


def current_make_ids() -> list[int]:
    """Return the makes of the manufacturer that the current caller acts for.

    Raises `Forbidden`.
    """
    manufacturer_id = _current_partner(_MANUFACTURER_OF_CLIENT, "a manufacturer")
    make_id = manufacturer_make.c.make_id
    makes = select(make_id).where(manufacturer_make.c.manufacturer_id == manufacturer_id)
    return list(db.session.scalars(makes.order_by(make_id)))


def current_make_id(brand: str) -> int:
    """Return the id of the caller's make with this name.

    Raises `NotFound`, also for another manufacturer's make.
    """
    own_makes = select(VehicleMake).where(VehicleMake.id.in_(current_make_ids()))
    # Compared here: not every text in a path can be sent to the database.
    make_ids = {name_key(make.name): make.id for make in db.session.scalars(own_makes)}
    make_id = make_ids.get(name_key(trim(brand)))
    if make_id is None:
        raise NotFound(f"You have no make {brand}.")
    return make_id


def _endpoint_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_ENDPOINT_FIELDS[name]: values[name] for name in _ENDPOINT_FIELDS if name in values}


def _existing_makes(make_ids: Sequence[int]) -> list[VehicleMake]:
    """Return makes, which cannot be deleted until the transaction ends. Raises `Invalid`."""
    wanted = sorted(set(make_ids))
    found = select(VehicleMake).where(VehicleMake.id.in_(wanted)).order_by(VehicleMake.id)
    makes = list(db.session.scalars(found.with_for_update(read=True, key_share=True)))
    missing = set(wanted) - {make.id for make in makes}
    if missing:
        place = next(place for place, ident in enumerate(make_ids) if ident in missing)
        raise Invalid.field(f"make_ids/{place}", f"There is no make {make_ids[place]}.")
    return makes


def _delete_clients(which: Any) -> None:
    clients = select(Client).join(PartnerClient, PartnerClient.client_id == Client.id).where(which)
    for client in db.session.scalars(clients).all():
        accounts.delete_client(client)


def _current_partner(partner: CompiledStatement, description: str) -> int:
    found = read(partner, client_id=current_caller().client_id)
    if not found or found[0].id is None:
        raise Forbidden(f"This client no longer acts for {description}.")
    ident: int = found[0].id
    return ident
