"""How clients see locations, sprocket types, factories, charts and sprockets.

A class that ends in `Changes` is what PATCH takes: the same fields, none of them required.
"""

from __future__ import annotations

from iso3166 import countries
from marshmallow import fields, validate

from automart.production.models import (
    LARGEST_MEASURE,
    LONGEST_ADDRESS,
    LONGEST_CITY,
    LONGEST_NAME,
    LONGEST_POSTAL_CODE,
    LONGEST_STATE,
    MOST_SPROCKETS,
    MOST_TEETH,
)
from automart.web import PageQuery, Query, Schema
from automart.web.fields import Id, Number, QueryFlag, QueryId, QueryInteger, Text, UtcTime

FEWEST_POINTS = 10
MOST_POINTS = 1_000

# XK is widely used for Kosovo, and the library has it, but ISO 3166-1 has not.
COUNTRY_CODES = sorted({country.alpha2 for country in countries} - {"XK"})

_a_measure = validate.Range(min=0, min_inclusive=False, max=LARGEST_MEASURE)


class LocationSchema(Schema):
    """An address at which factories stand."""

    id = fields.Integer(dump_only=True)
    name = Text(required=True, max_length=LONGEST_NAME)
    address_1 = Text(required=True, max_length=LONGEST_ADDRESS)
    address_2 = Text(allow_none=True, load_default=None, max_length=LONGEST_ADDRESS)
    city = Text(required=True, max_length=LONGEST_CITY)
    state = Text(allow_none=True, load_default=None, max_length=LONGEST_STATE)
    postal_code = Text(required=True, max_length=LONGEST_POSTAL_CODE)
    country_code = fields.String(
        required=True,
        validate=validate.OneOf(COUNTRY_CODES, error="Must be an ISO 3166-1 alpha-2 code."),
        metadata={"description": "ISO 3166-1 alpha-2."},
    )


class LocationChanges(LocationSchema):
    pass


class LocationQuery(PageQuery):
    postal_code = Text(
        load_default=None,
        max_length=LONGEST_POSTAL_CODE,
        metadata={"description": "The whole postal code, in any case."},
    )


class SprocketTypeSchema(Schema):
    """A kind of sprocket. The outside diameter is at least the pitch diameter."""

    id = fields.Integer(dump_only=True)
    name = Text(required=True, max_length=LONGEST_NAME)
    teeth = fields.Integer(
        required=True, strict=True, validate=validate.Range(min=1, max=MOST_TEETH)
    )
    pitch_diameter = Number(required=True, validate=_a_measure)
    pitch = Number(required=True, validate=_a_measure)
    outside_diameter = Number(required=True, validate=_a_measure)


class SprocketTypeChanges(SprocketTypeSchema):
    pass


class SprocketTypeQuery(PageQuery):
    pass


class ChartSchema(Schema):
    """Goal and count over time: three lists of the same length, in order of time."""

    sprocket_production_actual = fields.List(fields.Integer(), required=True)
    sprocket_production_goal = fields.List(fields.Integer(), required=True)
    time = fields.List(
        fields.Integer(), required=True, metadata={"description": "Seconds since 1970, in UTC."}
    )


class FactorySchema(Schema):
    """A factory, with how many sprockets it should have made and how many it has."""

    id = fields.Integer(dump_only=True)
    name = Text(required=True, max_length=LONGEST_NAME)
    location = fields.Nested(LocationSchema, dump_only=True)
    location_id = Id(required=True, load_only=True)
    sprocket_production_goal = fields.Integer(
        required=True, strict=True, validate=validate.Range(min=0, max=MOST_SPROCKETS)
    )
    sprocket_production_actual = fields.Integer(
        dump_only=True, metadata={"description": "Counted by the server."}
    )
    chart_data = fields.Nested(
        ChartSchema,
        dump_only=True,
        metadata={"description": "Only if it was asked for.", "optional": True},
    )


class FactoryChanges(FactorySchema):
    pass


class FactoryQuery(Query):
    with_chart_data = QueryFlag(
        load_default=False,
        metadata={"description": f"Add `chart_data`, thinned to {MOST_POINTS:,} points."},
    )


class FactoryListQuery(PageQuery, FactoryQuery):
    pass


class ChartQuery(Query):
    """Which part of a chart, and how much of it."""

    start = UtcTime(
        data_key="from",
        load_default=None,
        metadata={"description": "Leave out the points before this time."},
    )
    end = UtcTime(
        data_key="to",
        load_default=None,
        metadata={"description": "Leave out the points after this time."},
    )
    points = QueryInteger(
        load_default=500,
        validate=validate.Range(min=FEWEST_POINTS, max=MOST_POINTS),
        metadata={
            "description": "At most as many points. The first, the last, and each series'"
            " highest and lowest are always among them."
        },
    )


class SprocketSchema(Schema):
    """A sprocket that a factory has made."""

    id = fields.Integer(dump_only=True)
    name = Text(required=True, max_length=LONGEST_NAME)
    sprocket_type_id = Id(required=True)
    factory_id = Id(required=True)


class SprocketChanges(SprocketSchema):
    pass


class SprocketQuery(PageQuery):
    factory_id = QueryId(load_default=None)
    sprocket_type_id = QueryId(load_default=None)
