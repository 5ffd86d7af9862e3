"""Sample locations, sprocket types and factories for trying Automart out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import exists, select

from automart.core.db import db, utcnow
from automart.production import service
from automart.production.models import Factory, Location, Sprocket, SprocketType

SECONDS_PER_HOUR, SECONDS_PER_DAY = 3_600, 86_400
SCRAPPED = 0.12

ADDRESS = ("name", "address_1", "address_2", "city", "state", "postal_code", "country_code")
LOCATIONS = [
    ("Rust Belt Works", "800 Superior Ave E", None, "Cleveland", "OH", "44114", "US"),
    ("Werk Nord", "Hafenstraße 12", "Halle 3", "Bremen", None, "28217", "DE"),
    ("Pabrik Selatan", "2 Tuas South Street", "#04-01", "Singapore", None, "637895", "SG"),
]
DIMENSIONS = ("name", "teeth", "pitch_diameter", "pitch", "outside_diameter")
TYPES = [
    ("25B-16", 16, 32.5, 6.35, 35.6),
    ("40B-24", 24, 97.3, 12.7, 104.1),
    ("60B-36", 36, 218.6, 19.05, 228.6),
]


class SampleFactory(NamedTuple):
    """A factory and its last day: the goals, each with the hour from which it applies, and the
    number of sprockets that are made or scrapped."""

    name: str
    goals: list[tuple[int, int]]
    sprockets: int


FACTORIES = [
    SampleFactory("Cleveland Line 1", [(0, 40), (12, 60)], 70),
    SampleFactory("Bremen Zahnradwerk", [(0, 80), (8, 70)], 84),
    SampleFactory("Tuas Precision", [(0, 50), (6, 55), (18, 45)], 56),
]


def add_sample_production() -> bool:
    """Add three locations, sprocket types and factories with a day of history.

    Return False and add nothing if there are any of these already.
    """
    present = select(*(exists().select_from(table) for table in (Location, SprocketType, Factory)))
    if any(db.session.execute(present).one()):
        return False
    locations = [service.create_location(dict(zip(ADDRESS, row, strict=True))) for row in LOCATIONS]
    types = [service.create_sprocket_type(dict(zip(DIMENSIONS, row, strict=True))) for row in TYPES]
    db.session.flush()  # gives their ids
    for number, (location, sample) in enumerate(zip(locations, FACTORIES, strict=True)):
        # The same seed each time: the samples are always the same.
        _simulate(sample, location, types, random.Random(number))  # noqa: S311 - samples
    return True


def _simulate(
    sample: SampleFactory, location: Location, types: list[SprocketType], rng: random.Random
) -> None:
    """Add a factory with the history of a day that ends now."""
    start = int(utcnow().timestamp()) - SECONDS_PER_DAY
    _, goal = sample.goals[0]
    values = {"name": sample.name, "location_id": location.id, "sprocket_production_goal": goal}
    factory = service.create_factory(values, at=start)
    sprockets: list[Sprocket] = []
    for at, new_goal in sorted(_events(sample, start, rng), key=lambda event: event[0]):
        if new_goal is not None:
            service.update_factory(factory, {"sprocket_production_goal": new_goal}, at=at)
        elif sprockets and rng.random() < SCRAPPED:
            service.delete_sprocket(sprockets.pop(rng.randrange(len(sprockets))), at=at)
        else:
            sprockets.append(_make_sprocket(factory, rng.choice(types), at))


def _events(
    sample: SampleFactory, start: int, rng: random.Random
) -> Iterator[tuple[int, int | None]]:
    """Yield the times of new goals, and (with None) of sprockets that are made or scrapped."""
    for hour, goal in sample.goals[1:]:
        yield start + hour * SECONDS_PER_HOUR, goal
    for _ in range(sample.sprockets):
        yield start + rng.randrange(SECONDS_PER_HOUR, SECONDS_PER_DAY), None


def _make_sprocket(factory: Factory, sprocket_type: SprocketType, at: int) -> Sprocket:
    values = {
        "name": f"{sprocket_type.name} #{factory.chart_length}",
        "sprocket_type_id": sprocket_type.id,
        "factory_id": factory.id,
    }
    return service.create_sprocket(values, at=at)
