"""Cars as CSV. Each record is checked like the body of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import exists, select

from automart.catalogue.service import find_model
from automart.core.csv_columns import Columns
from automart.core.csv_import import Importer, Load, Values
from automart.core.db import db
from automart.core.errors import Invalid
from automart.core.text import trim
from automart.inventory import service
from automart.inventory.models import Car, Dealer
from automart.inventory.schemas import NewCar

COLUMNS = Columns(
    required=("brand", "model", "year", "color", "daily_price", "vin", "dealer_id"),
    optional=("status",),
    ignored=("id", "created_at", "updated_at"),
    headings={
        "make": "brand",
        "model_year": "year",
        "colour": "color",
        "price_per_day": "daily_price",
        "daily_rate": "daily_price",
        "vin_number": "vin",
    },
    decimals=("daily_price",),
)
_WHOLE_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,20})?", re.ASCII)


def new_car_check() -> Load:
    """Return the function that checks the cars of one file."""
    return _Loader().load


def add_cars(rows: Sequence[Values], _created_by: int | None) -> None:
    """Add cars in the current transaction."""
    service.create_cars([{**row, "daily_price": Decimal(row["daily_price"])} for row in rows])


class _Loader:
    """Loads the cars of one file, and rejects a VIN that occurs twice in it."""

    def __init__(self) -> None:
        self._schema = NewCar()
        self._models: dict[tuple[str, str], tuple[int, str]] = {}
        self._dealers: set[int] = set()
        self._vins: set[str] = set()

    def load(self, cells: Mapping[str, str]) -> Mapping[str, Any]:
        values: dict[str, Any] = self._schema.load(_typed(cells))
        make_id, model = self._model(values.pop("brand"), values.pop("model"))
        self._check_dealer(values["dealer_id"])
        self._check_vin(values["vin"])
        return values | {"make_id": make_id, "model": model}

    def _model(self, brand: str, model: str) -> tuple[int, str]:
        if (brand, model) not in self._models:
            try:
                self._models[brand, model] = find_model(brand, model)
            except Invalid as invalid:
                (error,) = invalid.members["errors"]
                field = error["pointer"].removeprefix("#/")
                raise ValidationError({field: [error["detail"]]}) from None
        return self._models[brand, model]

    def _check_dealer(self, dealer_id: int) -> None:
        if dealer_id in self._dealers:
            return
        if not db.session.scalar(select(exists().where(Dealer.id == dealer_id))):
            raise ValidationError({"dealer_id": [f"There is no dealer {dealer_id}."]})
        self._dealers.add(dealer_id)

    def _check_vin(self, vin: str) -> None:
        if vin in self._vins:
            raise ValidationError({"vin": ["The file contains it twice."]})
        if db.session.scalar(select(exists().where(Car.vin == vin))):
            raise ValidationError({"vin": ["There is a car with this VIN already."]})
        self._vins.add(vin)


CARS = Importer(COLUMNS, new_car_check, add_cars)


def _typed(cells: Mapping[str, str]) -> dict[str, Any]:
    """Return the cells with numbers as numbers. The schema rejects those that stay text."""
    values: dict[str, Any] = dict(cells)
    for name in ("year", "dealer_id"):
        values[name] = trim(values[name])
        if _WHOLE_NUMBER.fullmatch(values[name]):
            values[name] = int(values[name])
    values["daily_price"] = trim(values["daily_price"])
    if _AMOUNT.fullmatch(values["daily_price"]):
        values["daily_price"] = float(values["daily_price"])
    return values
