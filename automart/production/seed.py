"""What production begins with when Automart is tried out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import exists, select

from automart.core.db import db, utcnow
from automart.production import service
from automart.production.models import Factory, Location, Sprocket, SprocketType

HOUR, DAY = 3_600, 86_400
SCRAPPED = 0.12

ADDRESS = ("name", "address_1", "address_2", "city", "state", "postal_code", "country_code")
LOCATIONS = [
    ("Rust Belt Works", "800 Superior Ave E", None, "Cleveland", "OH", "44114", "US"),
    ("Werk Nord", "Hafenstraße 12", "Halle 3", "Bremen", None, "28217", "DE"),
    ("Pabrik Selatan", "2 Tuas South Street", "#04-01", "Singapore", None, "637895", "SG"),
]
MEASURES = ("name", "teeth", "pitch_diameter", "pitch", "outside_diameter")
TYPES = [
    ("25B-16", 16, 32.5, 6.35, 35.6),
    ("40B-24", 24, 97.3, 12.7, 104.1),
    ("60B-36", 36, 218.6, 19.05, 228.6),
]


class Day(NamedTuple):
    """A day of a factory: its goals, each from an hour on, and how many sprockets it makes."""

    name: str
    goals: list[tuple[int, int]]
    made: int


DAYS = [
    Day("Cleveland Line 1", [(0, 40), (12, 60)], 70),
    Day("Bremen Zahnradwerk", [(0, 80), (8, 70)], 84),
    Day("Tuas Precision", [(0, 50), (6, 55), (18, 45)], 56),
]


def add_sample_production() -> bool:
    """Add three locations, sprocket types and factories, these with a day behind them, in the
    present transaction; nothing if there is anything of that kind already. Answers whether.
    """
    used = select(*(exists().select_from(kind) for kind in (Location, SprocketType, Factory)))
    if any(db.session.execute(used).one()):
        return False
    locations = [Location(**dict(zip(ADDRESS, row, strict=True))) for row in LOCATIONS]
    types = [SprocketType(**dict(zip(MEASURES, row, strict=True))) for row in TYPES]
    db.session.add_all([*locations, *types])
    db.session.flush()
    for number, (location, day) in enumerate(zip(locations, DAYS, strict=True)):
        _live(day, location, types, random.Random(number))  # noqa: S311 - play, and the same each time
    return True


def _live(day: Day, location: Location, types: list[SprocketType], chance: random.Random) -> None:
    """Add a factory, and let it have had this day until now."""
    began = int(utcnow().timestamp()) - DAY
    _, goal = day.goals[0]
    values = {"name": day.name, "location_id": location.id, "sprocket_production_goal": goal}
    factory = service.create_factory(values, at=began)
    sprockets: list[Sprocket] = []
    for at, goal_then in sorted(_events(day, began, chance), key=lambda event: event[0]):
        if goal_then is not None:
            service.change_factory(factory, {"sprocket_production_goal": goal_then}, at=at)
        elif sprockets and chance.random() < SCRAPPED:
            service.delete_sprocket(sprockets.pop(chance.randrange(len(sprockets))), at=at)
        else:
            sprockets.append(_make(factory, chance.choice(types), at))


def _events(day: Day, began: int, chance: random.Random) -> Iterator[tuple[int, int | None]]:
    """When the goal changed, and when something was made (or scrapped)."""
    for hour, goal in day.goals[1:]:
        yield began + hour * HOUR, goal
    for _ in range(day.made):
        yield began + chance.randrange(HOUR, DAY), None


def _make(factory: Factory, kind: SprocketType, at: int) -> Sprocket:
    values = {
        "name": f"{kind.name} #{factory.chart_length}",
        "sprocket_type_id": kind.id,
        "factory_id": factory.id,
    }
    return service.create_sprocket(values, at=at)
