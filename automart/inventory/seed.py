"""What an empty inventory begins with when Automart is tried out."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import exists, select

from automart.catalogue.models import VehicleMake
from automart.core.db import db
from automart.core.text import casefold_key
from automart.inventory.models import Car, Dealer

NAME = "Oscar Mobility Main"
LOCATION = "Munich"

# brand, model, year, color, price of a day, VIN
CARS = (
    ("Honda", "Accord", 2024, "silver", "59.00", "1HGCV1F35RA000011"),
    ("Honda", "Civic", 2023, "blue", "45.50", "2HGFE2F58PH000023"),
    ("Honda", "Pilot", 2025, "black", "89.90", "5FNYG1H4XSB000037"),
    ("Toyota", "Corolla", 2022, "white", "42.00", "JTDBR32E720000041"),
    ("Mazda", "CX-5", 2024, "red", "64.00", "JM3KFBCM0R0000053"),
)


def add_sample_dealer() -> Dealer | None:
    """Add a dealer with a handful of cars, in the present transaction, if there is no dealer.

    Only cars whose make is in the catalogue are added.
    """
    if db.session.scalar(select(exists().select_from(Dealer))):
        return None
    dealer = Dealer(name=NAME, location=LOCATION)
    db.session.add(dealer)
    db.session.flush()  # gives dealer.id
    for brand, model, year, color, price, vin in CARS:
        make = db.session.scalar(
            select(VehicleMake).where(VehicleMake.name_folded == casefold_key(brand))
        )
        if make is not None:
            car = Car(make=make, model=model, year=year, color=color, vin=vin)
            car.update({"daily_price": Decimal(price), "dealer_id": dealer.id})
            db.session.add(car)
    return dealer
