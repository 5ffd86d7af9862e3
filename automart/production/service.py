"""What is made where: the rules that need more than one row, and the count that never disagrees
with the chart.

Whoever changes a factory's goal or count locks its row first, and several in the order of their
ids; a sprocket's row is locked before those. With one order for all, nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import InstrumentedAttribute

from automart.core.db import ModelT, db
from automart.core.errors import Conflict, Invalid
from automart.production.charts import series
from automart.production.models import Factory, Location, Sprocket, SprocketType

TOO_SMALL = "The outside diameter must be at least the pitch diameter."


def create_type(values: Mapping[str, Any]) -> SprocketType:
    """Add a sprocket type. Raises `Invalid` if its diameters do not go together."""
    kind = SprocketType(**values)
    _check_diameters(kind, values)
    db.session.add(kind)
    db.session.flush()
    return kind


def change_type(kind: SprocketType, changes: Mapping[str, Any]) -> None:
    """Change a sprocket type, whose row is locked. Raises `Invalid` if its diameters do not go
    together any more."""
    kind.update(changes)
    _check_diameters(kind, changes)


def create_factory(values: Mapping[str, Any], *, at: int | None = None) -> Factory:
    """Add a factory, and its chart's first point. Raises `Invalid` for an unknown location."""
    factory = Factory(
        name=values["name"],
        location=_referred(Location, "location_id", values["location_id"]),
        sprocket_production_goal=values["sprocket_production_goal"],
        sprocket_production_actual=0,
        chart_length=0,
    )
    db.session.add(factory)
    db.session.flush()
    series.record(factory, at=at)
    return factory


def change_factory(factory: Factory, changes: Mapping[str, Any], *, at: int | None = None) -> None:
    """Change a factory, whose row is locked; a new goal is a point of its chart."""
    goal = factory.sprocket_production_goal
    rest = dict(changes)
    if "location_id" in rest:
        factory.location = _referred(Location, "location_id", rest.pop("location_id"))
    factory.update(rest)
    if factory.sprocket_production_goal != goal:
        series.record(factory, at=at)


def create_sprocket(values: Mapping[str, Any], *, at: int | None = None) -> Sprocket:
    """Add a sprocket and count it. Raises `Invalid` for an unknown factory or type."""
    factory = _lock_factories(values["factory_id"])[values["factory_id"]]
    _referred(SprocketType, "sprocket_type_id", values["sprocket_type_id"])
    sprocket = Sprocket(**values)
    db.session.add(sprocket)
    _count(factory, 1, at)
    return sprocket


def change_sprocket(
    sprocket: Sprocket, changes: Mapping[str, Any], *, at: int | None = None
) -> None:
    """Change a sprocket, whose row is locked; moved to another factory, it counts there."""
    source, target = sprocket.factory_id, changes.get("factory_id", sprocket.factory_id)
    factories = _lock_factories(source, target) if target != source else {}
    if "sprocket_type_id" in changes:
        _referred(SprocketType, "sprocket_type_id", changes["sprocket_type_id"])
    sprocket.update(changes)
    if factories:
        _count(factories[source], -1, at)
        _count(factories[target], 1, at)


def delete_sprocket(sprocket: Sprocket, *, at: int | None = None) -> None:
    """Delete a sprocket, whose row is locked, and count it no more."""
    factory = _lock_factories(sprocket.factory_id)[sprocket.factory_id]
    db.session.delete(sprocket)
    _count(factory, -1, at)


def delete_location(location: Location) -> None:
    """Delete a location, whose row is locked. Raises `Conflict` if it has factories."""
    _delete_unless_used(location, Factory.location_id, "It has factories.")


def delete_type(kind: SprocketType) -> None:
    """Delete a type, whose row is locked. Raises `Conflict` if there are sprockets of it."""
    _delete_unless_used(kind, Sprocket.sprocket_type_id, "There are sprockets of this type.")


def delete_factory(factory: Factory) -> None:
    """Delete a factory, whose row is locked, and its chart. Raises `Conflict` if it has any
    sprockets."""
    _delete_unless_used(factory, Sprocket.factory_id, "It has sprockets.")


def _delete_unless_used(
    thing: Location | SprocketType | Factory, reference: InstrumentedAttribute[int], told: str
) -> None:
    # The foreign key would refuse it, too; but its check waits for the locks of the rows that
    # refer, whose holders may wait for this one's.
    if db.session.scalar(select(exists().where(reference == thing.id))):
        raise Conflict(told)
    db.session.delete(thing)


def _check_diameters(kind: SprocketType, sent: Mapping[str, Any]) -> None:
    if kind.outside_diameter < kind.pitch_diameter:
        field = "outside_diameter" if "outside_diameter" in sent else "pitch_diameter"
        raise Invalid.field(field, TOO_SMALL)


def _count(factory: Factory, difference: int, at: int | None) -> None:
    factory.sprocket_production_actual += difference
    series.record(factory, at=at)


def _lock_factories(*ids: int) -> dict[int, Factory]:
    """These factories by their ids, freshly read and locked. Raises `Invalid` if one is none."""
    locked = select(Factory).where(Factory.id.in_(ids)).order_by(Factory.id).with_for_update()
    fresh = locked.execution_options(populate_existing=True)
    found = {factory.id: factory for factory in db.session.scalars(fresh)}
    for ident in ids:
        if ident not in found:
            raise Invalid.field("factory_id", f"There is no factory {ident}.")
    return found


def _referred(model: type[ModelT], field: str, ident: int) -> ModelT:
    """What `field` of a body names, kept from being deleted until the transaction ends."""
    row = db.session.get(model, ident, with_for_update={"read": True, "key_share": True})
    if row is None:
        raise Invalid.field(field, f"There is no {model.noun} {ident}.")
    return row
