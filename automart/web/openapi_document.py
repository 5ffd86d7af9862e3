"""Conventions of the OpenAPI document that need its paths: names, titles, 404s, common headers."""

from __future__ import annotations

from typing import Any

from automart.web.openapi_headers import COMMON, references
from automart.web.operation_ids import operation_id, title_of

UNDOCUMENTED = {"x-undocumented": True}
"""For `@blp.doc(**UNDOCUMENTED)`: a page for people, which no program calls."""

_METHODS = ("get", "post", "put", "patch", "delete")


def finish_paths(paths: dict[str, dict[str, Any]]) -> None:
    """Complete all operations, and leave out those that are marked as `UNDOCUMENTED`."""
    for path, item in list(paths.items()):
        for parameter in item.get("parameters", []):
            parameter.setdefault("description", _description_of_id(parameter["name"]))
        for method in [method for method in _METHODS if method in item]:
            if item[method].pop("x-undocumented", False):
                del item[method]
            else:
                _finish(path, method, item[method])
        if not any(method in item for method in _METHODS):
            del paths[path]


def _description_of_id(name: str) -> str:
    """Describe a parameter of a path, such as `make_id`."""
    return f"The id of the {name.removesuffix('_id').replace('_', ' ')}."


def _finish(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if "{" in path:
        responses.setdefault("404", {"$ref": "#/components/responses/NOT_FOUND"})
    for response in responses.values():
        if "$ref" not in response:
            response["headers"] = references(*COMMON) | response.get("headers", {})
    is_list = "Page'" in str(responses.get("200"))
    operation.setdefault("operationId", operation_id(path, method, is_list=is_list))
    paragraphs = [operation["summary"], operation.get("description")]
    operation["summary"] = title_of(operation["operationId"])
    operation["description"] = "\n\n".join(filter(None, paragraphs))
