"""Examples and descriptions in the OpenAPI document."""

from __future__ import annotations

from typing import Any

import jsonschema
from flask.testing import FlaskClient

from automart.catalogue.seed import add_samples
from automart.core.db import transaction
from automart.customers.seed import add_sample_customer
from automart.inventory.seed import add_sample_dealer
from automart.production.seed import add_sample_production
from tests.support.databases import on_sqlite
from tests.support.openapi import served_document


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    methods = ("get", "post", "put", "patch", "delete")
    return [
        (method, path, item[method])
        for path, item in document["paths"].items()
        for method in methods
        if method in item
    ]


@on_sqlite
def test_examples_of_requests_succeed_with_the_samples_of_a_new_database(
    as_admin: FlaskClient,
) -> None:
    with transaction():
        add_samples()
        add_sample_customer()
        add_sample_dealer()
        add_sample_production()
    document = as_admin.get("/openapi.json").get_json()
    refused = []
    for method, path, operation in _operations(document):
        is_exempt = "To try it out, you need" in operation["description"]
        if method == "delete" or is_exempt:
            continue
        parameters = document["paths"][path].get("parameters", [])
        ids = {each["name"]: each["example"] for each in parameters}
        query = {
            each["name"]: each["example"]
            for each in operation["parameters"]
            if each.get("required") and each["in"] == "query"
        }
        sent = {}
        if method != "get":
            sent["json"] = operation["requestBody"]["content"]["application/json"]["example"]
        response = as_admin.open(path.format(**ids), method=method, query_string=query, **sent)
        if response.status_code not in (200, 201, 202):
            refused.append((operation["operationId"], response.get_data(as_text=True)))
    assert not refused


def test_every_json_body_has_an_example_that_its_schema_allows() -> None:
    document = served_document()
    for _, _, operation in _operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            body = content["application/json"]
            schema = body["schema"] | {"components": document["components"]}
            jsonschema.validate(body["example"], schema)


def test_every_problem_has_an_example_of_its_status() -> None:
    components = served_document()["components"]
    problem = components["schemas"]["Problem"]
    for name, response in components["responses"].items():
        for media_type in response["content"].values():
            example = media_type["example"]
            assert set(problem["required"]) <= example.keys() <= problem["properties"].keys(), name
            if name != "DEFAULT_ERROR":
                assert example["title"] == response["description"]


def test_every_property_and_parameter_has_a_description() -> None:
    document = served_document()
    properties = {
        f"{name}.{key}": value
        for name, schema in document["components"]["schemas"].items()
        for key, value in schema.get("properties", {}).items()
    }
    parameters = {
        f"{path} {each['name']}": each
        for path, item in document["paths"].items()
        for owner in item.values()
        for each in (owner if isinstance(owner, list) else owner.get("parameters", []))
        if "$ref" not in each
    }
    described = properties | parameters
    assert [name for name, each in described.items() if not each.get("description")] == []
