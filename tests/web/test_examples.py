"""Examples in the OpenAPI document."""

from __future__ import annotations

from tests.support.openapi import served_document


def test_every_problem_has_an_example_of_its_status() -> None:
    components = served_document()["components"]
    problem = components["schemas"]["Problem"]
    for name, response in components["responses"].items():
        for media_type in response["content"].values():
            example = media_type["example"]
            assert set(problem["required"]) <= example.keys() <= problem["properties"].keys(), name
            if name != "DEFAULT_ERROR":
                assert example["title"] == response["description"]
