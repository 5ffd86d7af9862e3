"""Tables of locations, sprocket types, factories with their charts, and sprockets."""

from __future__ import annotations

from typing import TypedDict

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from automart.core.db import Model
from automart.core.db_types import BigId
from automart.core.text import casefold_key

LONGEST_NAME = 100
LONGEST_ADDRESS = 200
LONGEST_CITY = 100
LONGEST_STATE = 100
LONGEST_POSTAL_CODE = 20
MOST_TEETH = 100_000
LARGEST_DIMENSION = 1_000_000
MOST_SPROCKETS = 1_000_000_000

POINTS_PER_BLOCK = 64

# SQLite would otherwise give the id of a deleted row to a new one.
_IDS_ARE_NOT_REUSED = {"sqlite_autoincrement": True}


class ChartData(TypedDict):
    """A chart as clients see it: three lists of the same length, ordered by time."""

    sprocket_production_actual: list[int]
    sprocket_production_goal: list[int]
    time: list[int]


class Location(Model):
    """The address of factories. Filters compare `postal_code_folded`."""

    __tablename__ = "location"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name"),
        Index(None, "postal_code_folded", "id"),
        _IDS_ARE_NOT_REUSED,
    )
    noun = "location"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    address_1: Mapped[str] = mapped_column(String(LONGEST_ADDRESS))
    address_2: Mapped[str | None] = mapped_column(String(LONGEST_ADDRESS))
    city: Mapped[str] = mapped_column(String(LONGEST_CITY))
    state: Mapped[str | None] = mapped_column(String(LONGEST_STATE))
    postal_code: Mapped[str] = mapped_column(String(LONGEST_POSTAL_CODE))
    postal_code_folded: Mapped[str] = mapped_column(String(LONGEST_POSTAL_CODE * 3))
    country_code: Mapped[str] = mapped_column(String(2))

    @validates("postal_code")
    def _fold_postal_code(self, _name: str, postal_code: str) -> str:
        self.postal_code_folded = casefold_key(postal_code)
        return postal_code


class SprocketType(Model):
    """A kind of sprocket, described by its dimensions."""

    __tablename__ = "sprocket_type"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint(f"teeth BETWEEN 1 AND {MOST_TEETH}", name="teeth"),
        CheckConstraint(
            f"pitch_diameter > 0 AND pitch_diameter <= {LARGEST_DIMENSION}", name="pitch_diameter"
        ),
        CheckConstraint(f"pitch > 0 AND pitch <= {LARGEST_DIMENSION}", name="pitch"),
        CheckConstraint(
            f"outside_diameter >= pitch_diameter AND outside_diameter <= {LARGEST_DIMENSION}",
            name="outside_diameter",
        ),
        _IDS_ARE_NOT_REUSED,
    )
    noun = "sprocket type"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    teeth: Mapped[int] = mapped_column(Integer)
    pitch_diameter: Mapped[float] = mapped_column(Double)
    pitch: Mapped[float] = mapped_column(Double)
    outside_diameter: Mapped[float] = mapped_column(Double)


class Factory(Model):
    """A factory, its production goal and the number of sprockets that it has made.

    Only `automart.production.service` writes `sprocket_production_actual` and the chart, with this
    row locked. `chart_length` is the number of points, which is the number of the next point.
    """

    __tablename__ = "factory"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint(f"sprocket_production_goal BETWEEN 0 AND {MOST_SPROCKETS}", name="goal"),
        CheckConstraint(
            f"sprocket_production_actual BETWEEN 0 AND {MOST_SPROCKETS}",
            name="actual",
            info={"problem": "A factory cannot hold more sprockets."},
        ),
        Index(None, "location_id"),
        _IDS_ARE_NOT_REUSED,
    )
    noun = "factory"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    location_id: Mapped[int] = mapped_column(ForeignKey("location.id"))
    sprocket_production_goal: Mapped[int] = mapped_column(Integer)
    sprocket_production_actual: Mapped[int] = mapped_column(Integer, default=0)
    chart_length: Mapped[int] = mapped_column(BigInteger, default=0)

    location: Mapped[Location] = relationship()


class Sprocket(Model):
    """A sprocket that was made by a factory."""

    __tablename__ = "sprocket"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name"),
        Index(None, "factory_id", "id"),
        Index(None, "sprocket_type_id", "id"),
        Index(None, "factory_id", "sprocket_type_id", "id"),
        _IDS_ARE_NOT_REUSED,
    )
    noun = "sprocket"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(LONGEST_NAME))
    sprocket_type_id: Mapped[int] = mapped_column(ForeignKey("sprocket_type.id"))
    factory_id: Mapped[int] = mapped_column(ForeignKey("factory.id"))


class ChartPoint(Model):
    """Goal and actual number of a factory from `time` (epoch seconds) on.

    The points of a factory are numbered from 0 without gaps, and their times never decrease. So any
    part of a chart can be counted, divided and found by the primary key.
    """

    __tablename__ = "chart_point"
    __table_args__ = (
        Index(None, "factory_id", "time", "number"),
        # The table is its primary key: the points of a factory are stored side by side.
        {"sqlite_with_rowid": False},
    )
    noun = "chart point"

    factory_id: Mapped[int] = mapped_column(
        ForeignKey("factory.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    time: Mapped[int] = mapped_column(BigInteger)
    goal: Mapped[int] = mapped_column(Integer)
    actual: Mapped[int] = mapped_column(Integer)


class ChartBlock(Model):
    """The extremes of `POINTS_PER_BLOCK` points, so that a long chart is downsampled without
    reading each of its points.

    Block n covers the points n * 64 to n * 64 + 63. It has no row before all of them exist. Each
    extreme is packed with the number of its point (see `automart.production.charts.series`).
    """

    __tablename__ = "chart_block"
    __table_args__ = ({"sqlite_with_rowid": False},)
    noun = "chart block"

    factory_id: Mapped[int] = mapped_column(
        ForeignKey("factory.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    lowest_actual: Mapped[int] = mapped_column(BigInteger)
    highest_actual: Mapped[int] = mapped_column(BigInteger)
    lowest_goal: Mapped[int] = mapped_column(BigInteger)
    highest_goal: Mapped[int] = mapped_column(BigInteger)
