"""Locations, sprocket types, factories, charts and sprockets, as the API takes and shows them."""

from __future__ import annotations

from iso3166 import countries
from marshmallow import fields, validate

from automart.production.models import (
    LARGEST_DIMENSION,
    LONGEST_ADDRESS,
    LONGEST_CITY,
    LONGEST_NAME,
    LONGEST_POSTAL_CODE,
    LONGEST_STATE,
    MOST_SPROCKETS,
    MOST_TEETH,
)
from automart.web import Output, PageQuery, Query, Resource, Schema, changes_of, example
from automart.web.fields import (
    Id,
    Integer,
    Number,
    QueryFlag,
    QueryId,
    QueryInteger,
    QueryText,
    Text,
    UtcTime,
)

FEWEST_POINTS = 10
MOST_POINTS = 1_000

# The library contains XK, which is widely used for Kosovo but is not part of ISO 3166-1.
COUNTRY_CODES = sorted({country.alpha2 for country in countries} - {"XK"})

_dimension = validate.Range(min=0, min_inclusive=False, max=LARGEST_DIMENSION)


@example(
    changes={"address_2": "Hall 4"},
    name="Southern works",
    address_1="1 Main Street",
    city="Austin",
    state="TX",
    postal_code="78701",
    country_code="US",
)
class NewLocation(Schema):
    """The address of factories."""

    name = Text(
        required=True,
        max_length=LONGEST_NAME,
        metadata={"description": "The name of the location."},
    )
    address_1 = Text(
        required=True,
        max_length=LONGEST_ADDRESS,
        metadata={"description": "The first line of the address."},
    )
    address_2 = Text(
        allow_none=True,
        load_default=None,
        max_length=LONGEST_ADDRESS,
        metadata={"description": "The second line of the address."},
    )
    city = Text(required=True, max_length=LONGEST_CITY, metadata={"description": "The city."})
    state = Text(
        allow_none=True,
        load_default=None,
        max_length=LONGEST_STATE,
        metadata={"description": "The state or province."},
    )
    postal_code = Text(
        required=True, max_length=LONGEST_POSTAL_CODE, metadata={"description": "The postal code."}
    )
    country_code = QueryText(
        required=True,
        validate=validate.OneOf(COUNTRY_CODES, error="Must be an ISO 3166-1 alpha-2 code."),
        metadata={"description": "ISO 3166-1 alpha-2."},
    )


LocationChanges = changes_of(NewLocation)


class Location(NewLocation, Resource):
    """The address of factories."""


class LocationQuery(PageQuery):
    postal_code = QueryText(
        load_default=None,
        validate=validate.Length(max=LONGEST_POSTAL_CODE),
        metadata={"description": "The whole postal code, in any case."},
    )


@example(
    changes={"name": "25B-16 steel"},
    name="50B-20",
    teeth=20,
    pitch_diameter=101.5,
    pitch=15.875,
    outside_diameter=109.7,
)
class NewSprocketType(Schema):
    """A kind of sprocket. The outside diameter is at least the pitch diameter."""

    name = Text(
        required=True,
        max_length=LONGEST_NAME,
        metadata={"description": "The name of the sprocket type."},
    )
    teeth = Integer(
        required=True,
        validate=validate.Range(min=1, max=MOST_TEETH),
        metadata={"description": "The number of teeth."},
    )
    pitch_diameter = Number(
        required=True,
        validate=_dimension,
        metadata={"description": "The diameter of the pitch circle."},
    )
    pitch = Number(
        required=True,
        validate=_dimension,
        metadata={"description": "The distance between two rollers of the chain."},
    )
    outside_diameter = Number(
        required=True,
        validate=_dimension,
        metadata={"description": "The diameter over the tips of the teeth."},
    )


SprocketTypeChanges = changes_of(NewSprocketType)


class SprocketType(NewSprocketType, Resource):
    """A kind of sprocket. The outside diameter is at least the pitch diameter."""


class Chart(Output):
    """Goal and actual number over time: three lists of the same length, ordered by time."""

    sprocket_production_actual = fields.List(
        fields.Integer(),
        metadata={"description": "The numbers of sprockets that the factory has made."},
    )
    sprocket_production_goal = fields.List(
        fields.Integer(), metadata={"description": "The goals of the factory."}
    )
    time = fields.List(fields.Integer(), metadata={"description": "Seconds since 1970, in UTC."})


@example(
    changes={"sprocket_production_goal": 65},
    name="Austin Line 1",
    location_id=1,
    sprocket_production_goal=50,
)
class NewFactory(Schema):
    """A factory at a location, and its production goal."""

    name = Text(
        required=True, max_length=LONGEST_NAME, metadata={"description": "The name of the factory."}
    )
    location_id = Id(required=True, metadata={"description": "The location of the factory."})
    sprocket_production_goal = Integer(
        required=True,
        validate=validate.Range(min=0, max=MOST_SPROCKETS),
        metadata={"description": "The number of sprockets to make."},
    )


FactoryChanges = changes_of(NewFactory)


class Factory(NewFactory, Resource):
    """A factory, its production goal and the number of sprockets that it has made."""

    class Meta(Output.Meta):
        # The location takes the place of its id.
        fields = (
            "id",
            "name",
            "location",
            "sprocket_production_goal",
            "sprocket_production_actual",
            "chart_data",
        )

    location = fields.Nested(Location, metadata={"description": "The location of the factory."})
    sprocket_production_actual = fields.Integer(metadata={"description": "Counted by the server."})
    chart_data = fields.Nested(
        Chart, metadata={"description": "Only if it was requested.", "optional": True}
    )


class FactoryQuery(Query):
    with_chart_data = QueryFlag(
        load_default=False,
        metadata={"description": f"Add `chart_data`, thinned to {MOST_POINTS:,} points."},
    )


class FactoryListQuery(PageQuery, FactoryQuery):
    """The query of a list of factories."""


class ChartQuery(Query):
    """The part of a chart to return, and the number of its points."""

    start = UtcTime(
        data_key="from",
        load_default=None,
        metadata={"description": "Leave out points before this time."},
    )
    end = UtcTime(
        data_key="to",
        load_default=None,
        metadata={"description": "Leave out points after this time."},
    )
    points = QueryInteger(
        load_default=500,
        validate=validate.Range(min=FEWEST_POINTS, max=MOST_POINTS),
        metadata={
            "description": "The largest number of points. The first and last point and the"
            " highest and lowest of each series are always included."
        },
    )


@example(changes={"name": "25B-16 spare"}, name="25B-16 special", sprocket_type_id=1, factory_id=1)
class NewSprocket(Schema):
    """A sprocket that was made by a factory."""

    name = Text(
        required=True,
        max_length=LONGEST_NAME,
        metadata={"description": "The name of the sprocket."},
    )
    sprocket_type_id = Id(required=True, metadata={"description": "The type of the sprocket."})
    factory_id = Id(required=True, metadata={"description": "The factory that made it."})


SprocketChanges = changes_of(NewSprocket)


class Sprocket(NewSprocket, Resource):
    """A sprocket that was made by a factory."""


class SprocketQuery(PageQuery):
    factory_id = QueryId(
        load_default=None, metadata={"description": "Only sprockets of this factory."}
    )
    sprocket_type_id = QueryId(
        load_default=None, metadata={"description": "Only sprockets of this type."}
    )
