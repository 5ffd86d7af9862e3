"""Cars, and those that are available."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from sqlalchemy import ScalarSelect, select
from sqlalchemy.orm import InstrumentedAttribute

from automart.catalogue.models import VehicleMake
from automart.core.db import get_or_404, lock_or_404, transaction
from automart.inventory import models, service
from automart.inventory.availability import available_cars
from automart.inventory.schemas import AvailableCarsQuery, Car, CarChanges, CarQuery, NewCar
from automart.inventory.views.blueprint import blp
from automart.web import (
    USER,
    Answer,
    Values,
    check_version,
    created,
    idempotent,
    page_of,
    paginate,
    requires,
    where_given,
)

# With another VIN than the example of POST: both succeed.
REPLACEMENT = {
    "brand": "Honda",
    "model": "Accord",
    "year": 2024,
    "color": "blue",
    "daily_price": 61.5,
    "vin": "JHMCV1F35RA000112",
    "dealer_id": 1,
}


@blp.route("/cars")
class Cars(MethodView):
    @requires(USER)
    @blp.arguments(CarQuery, location="query")
    @blp.response(200, page_of(Car))
    def get(self, query: Values) -> Values:
        """List cars."""
        filters = _common_filters(query)
        filters |= {models.Car.year: query["year"], models.Car.status: query["status"]}
        cars = where_given(select(models.Car), filters)
        return paginate(cars, models.Car.id, query)

    @requires(USER)
    @blp.arguments(NewCar)
    @idempotent
    @blp.response(201, Car)
    @blp.alt_response(409, "CONFLICT")
    def post(self, values: Values) -> Answer:
        """Create a car. Brand and model must be in the catalogue."""
        with transaction():
            car = service.create_car(values)
        return created(car, "inventory.CarById", car_id=car.id)


@blp.route("/cars/<id:car_id>")
class CarById(MethodView):
    @requires(USER)
    @blp.response(200, Car)
    def get(self, car_id: int) -> models.Car:
        """Get a car."""
        return get_or_404(models.Car, car_id)

    @requires(USER)
    @blp.arguments(NewCar, example=REPLACEMENT)
    @blp.response(200, Car)
    @blp.alt_response(409, "CONFLICT")
    def put(self, values: Values, car_id: int) -> models.Car:
        """Replace a car. A new brand or model must be in the catalogue."""
        return _update(car_id, values)

    @requires(USER)
    @blp.arguments(CarChanges)
    @blp.response(200, Car)
    @blp.alt_response(409, "CONFLICT")
    def patch(self, changes: Values, car_id: int) -> models.Car:
        """Update a car. Fields that are not sent keep their value."""
        return _update(car_id, changes)

    @requires(USER)
    @blp.response(204)
    @blp.alt_response(409, "CONFLICT")
    def delete(self, car_id: int) -> None:
        """Delete a car that has no confirmed bookings now or in the future.

        Its other bookings are kept. Their `car_id` becomes null.
        """
        with transaction():
            car = lock_or_404(models.Car, car_id, before_delete=True)
            check_version(car, Car)
            service.delete_car(car)


@blp.route("/bookings/available-cars")
class AvailableCars(MethodView):
    @requires(USER)
    @blp.arguments(AvailableCarsQuery, location="query")
    @blp.response(200, page_of(Car))
    def get(self, query: Values) -> Values:
        """List the cars that are not in maintenance and free for the whole range."""
        cars = available_cars(query["start_datetime"], query["end_datetime"])
        cars = where_given(cars, _common_filters(query))
        if query["max_daily_price"] is not None:
            cars = cars.where(models.Car.daily_price <= query["max_daily_price"])
        return paginate(cars, models.Car.id, query)


def _update(car_id: int, changes: Values) -> models.Car:
    with transaction():
        car = lock_or_404(models.Car, car_id)
        check_version(car, Car)
        service.update_car(car, changes)
    return car


def _common_filters(query: Values) -> dict[InstrumentedAttribute[Any], Any]:
    brand = query["brand"]
    return {
        models.Car.make_id: None if brand is None else _id_of_make(brand),
        models.Car.model_folded: query["model"],
        models.Car.dealer_id: query["dealer_id"],
    }


def _id_of_make(key: str) -> ScalarSelect[int]:
    """Return a subquery for the id of the make with this `name_folded`."""
    return select(VehicleMake.id).where(VehicleMake.name_folded == key).scalar_subquery()
