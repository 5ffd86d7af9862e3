"""The rules of production. A factory's count always agrees with its chart.

Code that changes the goal or count of a factory locks its row first, and the rows of several
factories in the order of their ids. The row of a sprocket is locked before those of factories. This
order prevents deadlocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import InstrumentedAttribute

from automart.core.db import db, for_update, get_referenced
from automart.core.errors import Conflict, Invalid
from automart.production.charts import series
from automart.production.models import Factory, Location, Sprocket, SprocketType

TOO_SMALL = "The outside diameter must be at least the pitch diameter."


def create_location(values: Mapping[str, Any]) -> Location:
    """Add a location."""
    location = Location(**values)
    db.session.add(location)
    return location


def update_location(location: Location, changes: Mapping[str, Any]) -> None:
    """Update a locked location."""
    location.update(changes)


def delete_location(location: Location) -> None:
    """Delete a location that was locked `before_delete`. Raises `Conflict` if it has factories."""
    _delete_unless_used(location, Factory.location_id, "factories")


def create_sprocket_type(values: Mapping[str, Any]) -> SprocketType:
    """Add a sprocket type. Raises `Invalid` if one diameter does not fit the other."""
    sprocket_type = SprocketType(**values)
    _check_diameters(sprocket_type, values)
    db.session.add(sprocket_type)
    return sprocket_type


def update_sprocket_type(sprocket_type: SprocketType, changes: Mapping[str, Any]) -> None:
    """Update a locked sprocket type. Raises `Invalid` if one diameter does not fit the other."""
    sprocket_type.update(changes)
    _check_diameters(sprocket_type, changes)


def delete_sprocket_type(sprocket_type: SprocketType) -> None:
    """Delete a sprocket type that was locked `before_delete`.

    Raises `Conflict` if there are sprockets of this type.
    """
    _delete_unless_used(sprocket_type, Sprocket.sprocket_type_id, "sprockets")


def create_factory(values: Mapping[str, Any], *, at: int | None = None) -> Factory:
    """Add a factory and the first point of its chart. Raises `Invalid` for an unknown location."""
    factory = Factory(
        name=values["name"],
        location=get_referenced(Location, "location_id", values["location_id"]),
        sprocket_production_goal=values["sprocket_production_goal"],
        sprocket_production_actual=0,
        chart_length=0,
    )
    db.session.add(factory)
    db.session.flush()  # gives factory.id
    series.add_point(factory, at=at)
    return factory


def update_factory(factory: Factory, changes: Mapping[str, Any], *, at: int | None = None) -> None:
    """Update a locked factory. A new goal adds a point to its chart.

    Raises `Invalid` for an unknown location.
    """
    goal = factory.sprocket_production_goal
    others = dict(changes)
    if "location_id" in others:
        factory.location = get_referenced(Location, "location_id", others.pop("location_id"))
    factory.update(others)
    if factory.sprocket_production_goal != goal:
        series.add_point(factory, at=at)


def delete_factory(factory: Factory) -> None:
    """Delete a factory that was locked `before_delete`, and its chart.

    Raises `Conflict` if it has sprockets.
    """
    _delete_unless_used(factory, Sprocket.factory_id, "sprockets")


def create_sprocket(values: Mapping[str, Any], *, at: int | None = None) -> Sprocket:
    """Add a sprocket and count it. Raises `Invalid` for an unknown factory or type."""
    factory = _lock_factories(values["factory_id"])[values["factory_id"]]
    get_referenced(SprocketType, "sprocket_type_id", values["sprocket_type_id"])
    sprocket = Sprocket(**values)
    db.session.add(sprocket)
    _count(factory, 1, at)
    return sprocket


def update_sprocket(
    sprocket: Sprocket, changes: Mapping[str, Any], *, at: int | None = None
) -> None:
    """Update a locked sprocket. A new `factory_id` moves it to the count of another factory.

    Raises `Invalid` for an unknown factory or type.
    """
    source, target = sprocket.factory_id, changes.get("factory_id", sprocket.factory_id)
    factories = _lock_factories(source, target) if target != source else {}
    if "sprocket_type_id" in changes:
        get_referenced(SprocketType, "sprocket_type_id", changes["sprocket_type_id"])
    sprocket.update(changes)
    if factories:
        _count(factories[source], -1, at)
        _count(factories[target], 1, at)


def delete_sprocket(sprocket: Sprocket, *, at: int | None = None) -> None:
    """Delete a locked sprocket and remove it from the count of its factory."""
    factory = _lock_factories(sprocket.factory_id)[sprocket.factory_id]
    db.session.delete(sprocket)
    _count(factory, -1, at)


def _delete_unless_used(
    row: Location | SprocketType | Factory, reference: InstrumentedAttribute[int], users: str
) -> None:
    # The foreign key would refuse the deletion as well. But its check waits for the locks of the
    # referring rows, and their owners may be waiting for the lock of this one.
    if db.session.scalar(select(exists().where(reference == row.id))):
        raise Conflict(f"{row.noun.capitalize()} {row.id} still has {users}.")
    db.session.delete(row)


def _check_diameters(sprocket_type: SprocketType, sent: Mapping[str, Any]) -> None:
    if sprocket_type.outside_diameter < sprocket_type.pitch_diameter:
        field = "outside_diameter" if "outside_diameter" in sent else "pitch_diameter"
        raise Invalid.field(field, TOO_SMALL)


def _count(factory: Factory, difference: int, at: int | None) -> None:
    factory.sprocket_production_actual += difference
    series.add_point(factory, at=at)


def _lock_factories(*ids: int) -> dict[int, Factory]:
    """Return factories by id, freshly read and locked. Raises `Invalid` if one does not exist."""
    factories = select(Factory).where(Factory.id.in_(ids)).order_by(Factory.id)
    found = {factory.id: factory for factory in db.session.scalars(for_update(factories, Factory))}
    for ident in ids:
        if ident not in found:
            raise Invalid.field("factory_id", f"There is no factory {ident}.")
    return found
