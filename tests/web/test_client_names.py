"""What generators of clients make of the document: modules, classes and functions that work.

`make clients` generates clients. These checks need no generator.
"""

from __future__ import annotations

import builtins
import json
import keyword
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.support.openapi import FILE

DOCUMENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
SCHEMAS: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
METHODS = {"get", "put", "post", "delete", "patch"}
# Classes of the generated packages, and names of Python's that their modules use.
TAKEN = {
    "ApiClient", "ApiException", "ApiResponse", "ApiValueError", "AuthenticatedClient", "BaseModel",
    "Client", "Configuration", "Enum", "Errors", "File", "Model", "Response", "Unset",
}  # fmt: skip


def operations() -> Iterator[dict[str, Any]]:
    for items in (DOCUMENT["paths"], DOCUMENT["webhooks"]):
        for item in items.values():
            yield from (item[method] for method in METHODS & item.keys())


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).replace("-", "_").lower()


def duplicates(names: Iterator[str]) -> list[str]:
    return [name for name, number in Counter(names).items() if number > 1]


def references_in(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        yield from part.get("discriminator", {}).get("mapping", {}).values()
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references_in(each)


def resolved(reference: str) -> Any:
    found: Any = DOCUMENT
    for key in reference.removeprefix("#/").split("/"):
        found = found[key]
    return found


def schemas_of(part: Any) -> set[str]:
    """Return the names of all schemas that a part of the document refers to, at any depth."""
    found: set[str] = set()
    waiting = set(references_in(part))
    while waiting:
        reference = waiting.pop()
        if reference not in found:
            found.add(reference)
            waiting |= set(references_in(resolved(reference)))
    return {name.rpartition("/")[2] for name in found if "/schemas/" in name}


def test_every_reference_and_every_mapping_leads_to_a_component() -> None:
    for reference in set(references_in(DOCUMENT)):
        assert isinstance(resolved(reference), dict), reference


def test_each_operation_is_a_function_in_the_one_module_of_its_tag() -> None:
    described = {tag["name"] for tag in DOCUMENT["tags"]}
    for operation in operations():
        assert len(operation["tags"]) == 1, operation["operationId"]
        assert set(operation["tags"]) <= described
        assert not keyword.iskeyword(snake_case(operation["operationId"]))
    assert duplicates(snake_case(each["operationId"]) for each in operations()) == []
    assert duplicates(snake_case(tag) for tag in described) == []
    assert not {snake_case(tag) for tag in described} & set(dir(builtins))


def test_each_schema_is_a_class_in_a_module_of_its_own() -> None:
    assert duplicates(snake_case(name) for name in SCHEMAS) == []
    for name in SCHEMAS:
        assert re.fullmatch(r"([A-Z][a-z]+)+|OAuthError", name), name
        assert name not in TAKEN | set(dir(builtins)), name
    # openapi-generator has a class with this name for each tag.
    assert not {f"{tag['name'].capitalize()}Api" for tag in DOCUMENT["tags"]} & SCHEMAS.keys()


def test_properties_and_parameters_keep_their_names_in_python() -> None:
    properties = {name for schema in SCHEMAS.values() for name in schema.get("properties", {})}
    for name in properties:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        assert not keyword.iskeyword(name), name
    for operation in operations():
        parameters = [each for each in operation.get("parameters", []) if "name" in each]
        assert duplicates(snake_case(each["name"]) for each in parameters) == []


def test_nothing_is_both_sent_and_answered() -> None:
    """One class for both would have fields that clients cannot send, or that are never answered."""
    sent = schemas_of(
        [each.get("requestBody", {}) for each in operations() if "callbacks" not in each]
    )
    answered = schemas_of([each["responses"] for each in operations()])
    assert sent & answered == set()
    assert sent | answered == SCHEMAS.keys()


def test_answers_always_have_all_fields_but_those_that_are_optional() -> None:
    optional = {
        f"{name}.{field}"
        for name in schemas_of([each["responses"] for each in operations()])
        for field in SCHEMAS[name].get("properties", {}).keys()
        - set(SCHEMAS[name].get("required", ()))
    }
    assert optional == {
        "ClientWithSecret.client_secret",
        "Factory.chart_data",
        "OAuthError.error_description",
        "OAuthError.error_uri",
        "Problem.errors",
        "Problem.in_the_way",
        "Problem.job_url",
        "Problem.parts",
        "ProblemDetail.parameter",
        "ProblemDetail.pointer",
        "Token.refresh_token",
        "Token.scope",
    }


def test_enums_have_a_type() -> None:
    def check(part: Any) -> None:
        if isinstance(part, dict):
            assert "enum" not in part or "type" in part, part
            part = list(part.values())
        if isinstance(part, list):
            for each in part:
                check(each)

    check([DOCUMENT["paths"], SCHEMAS])


def test_no_field_is_read_only() -> None:
    assert "readOnly" not in json.dumps(SCHEMAS)
