"""Schemas that are derived from others, and the response to a creation."""

from __future__ import annotations

import warnings

import pytest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask.testing import FlaskClient
from marshmallow import ValidationError, fields, validate

from automart.web import Schema, changes_of
from automart.web.fields import Text


class NewBoatSchema(Schema):
    id = fields.Integer(dump_only=True)
    name = Text(required=True, max_length=5)
    color = Text(max_length=5, allow_none=True, load_default="white")
    sizes = fields.List(fields.Integer(validate=validate.Range(min=1)), load_default=list)


BoatChanges = changes_of(NewBoatSchema)


class TestChanges:
    def test_changes_have_no_required_fields_and_no_defaults(self) -> None:
        assert BoatChanges().load({}) == {}
        assert BoatChanges().load({"color": None}) == {"color": None}

    @pytest.mark.parametrize(
        "body",
        [{"name": None}, {"name": "toolong"}, {"sizes": [0]}, {"id": 7}, {"masts": 3}],
        ids=str,
    )
    def test_changes_are_validated_like_new_values(self, body: dict[str, object]) -> None:
        with pytest.raises(ValidationError) as refused:
            BoatChanges().load(body)
        assert set(refused.value.messages) == set(body)

    def test_changes_of_does_not_modify_its_schema(self) -> None:
        assert NewBoatSchema().load({"name": "Ann"}) == {
            "name": "Ann",
            "color": "white",
            "sizes": [],
        }
        with pytest.raises(ValidationError):
            NewBoatSchema().load({})

    def test_the_class_is_created_once_and_named_for_the_document(self) -> None:
        assert changes_of(NewBoatSchema) is BoatChanges
        assert BoatChanges.__name__ == "BoatChanges"
        plugin = MarshmallowPlugin()
        spec = APISpec("Boats", "1", "3.1.0", plugins=[plugin])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for schema in (NewBoatSchema, BoatChanges, BoatChanges):
                plugin.resolver.resolve_schema_dict(schema)
        documented = spec.to_dict()["components"]["schemas"]["BoatChanges"]
        assert documented["properties"].keys() == {"name", "color", "sizes"}
        assert "required" not in documented
        assert "default" not in documented["properties"]["color"]


def test_a_201_has_a_location(as_admin: FlaskClient) -> None:
    created = as_admin.post("/v1/manufacturers", json={"name": "Honda Motor"})
    assert created.status_code == 201
    read = as_admin.get(created.headers["Location"])
    assert read.json == created.get_json()
