"""Cars as CSV. Each line is checked like the body of a request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TextIO

from marshmallow import ValidationError
from sqlalchemy import exists, select

from automart.catalogue.service import find_model
from automart.core.csv_import import Columns, Line, read_lines
from automart.core.db import db
from automart.core.errors import Invalid
from automart.inventory import service
from automart.inventory.models import Car, Dealer
from automart.inventory.schemas import NewCar

COLUMNS = Columns(
    required=("brand", "model", "year", "color", "daily_price", "vin", "dealer_id"),
    optional=("status",),
    ignored=("id",),
)
_WHOLE_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,20})?", re.ASCII)


def read_cars(file: TextIO) -> Iterator[Line]:
    """Yield the cars of a file that `text_of` opened. Raises `NotReadable`."""
    return read_lines(file, COLUMNS, _Loader().load)


def add_cars(lines: Sequence[Line]) -> int:
    """Add the cars of `lines` in the current transaction. Return their number."""
    service.create_cars(
        [{**line.values, "daily_price": Decimal(line.values["daily_price"])} for line in lines]
    )
    return len(lines)


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
                make, name = find_model(brand, model, keep=False)
            except Invalid as invalid:
                (error,) = invalid.members["errors"]
                field = error["pointer"].removeprefix("#/")
                raise ValidationError({field: [error["detail"]]}) from None
            self._models[brand, model] = make.id, name
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


def _typed(cells: Mapping[str, str]) -> dict[str, Any]:
    """Return the cells with numbers as numbers. The schema rejects those that stay text."""
    values: dict[str, Any] = dict(cells)
    for name in ("year", "dealer_id"):
        if _WHOLE_NUMBER.fullmatch(values[name].strip()):
            values[name] = int(values[name])
    if _AMOUNT.fullmatch(values["daily_price"].strip()):
        values["daily_price"] = float(values["daily_price"])
    return values
