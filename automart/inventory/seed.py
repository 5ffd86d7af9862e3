"""A sample dealer with cars for trying Automart out."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import exists, select

from automart.catalogue.models import VehicleMake
from automart.core.db import db
from automart.core.text import name_key
from automart.inventory import service
from automart.inventory.models import Dealer

NAME = "Oscar Mobility Main"
LOCATION = "Munich"

# brand, model, year, color, daily price, VIN
CARS = (
    ("Honda", "Accord", 2024, "silver", "59.00", "1HGCV1F35RA000011"),
    ("Honda", "Civic", 2023, "blue", "45.50", "2HGFE2F58PH000023"),
    ("Honda", "Pilot", 2025, "black", "89.90", "5FNYG1H4XSB000037"),
    ("Toyota", "Corolla", 2022, "white", "42.00", "JTDBR32E720000041"),
    ("Mazda", "CX-5", 2024, "red", "64.00", "JM3KFBCM0R0000053"),
)
COLUMNS = ("model", "year", "color", "daily_price", "vin")


def add_sample_dealer() -> Dealer | None:
    """Add a dealer with cars of the makes that are in the catalogue.

    Return None and add nothing if there is a dealer already.
    """
    if db.session.scalar(select(exists().select_from(Dealer))):
        return None
    dealer = service.create_dealer({"name": NAME, "location": LOCATION})
    db.session.flush()  # gives dealer.id
    rows = []
    for brand, model, year, color, price, vin in CARS:
        make = select(VehicleMake.id).where(VehicleMake.name_folded == name_key(brand))
        make_id = db.session.scalar(make)
        if make_id is not None:
            car = (model, year, color, Decimal(price), vin)
            row = dict(zip(COLUMNS, car, strict=True))
            rows.append(row | {"make_id": make_id, "dealer_id": dealer.id})
    if rows:
        service.create_cars(rows)
    return dealer
