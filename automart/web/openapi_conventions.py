"""Conventions that the OpenAPI document of every operation follows: access, headers, errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from automart.core.errors import status_name
from automart.web.annotations import note
from automart.web.authorization import ANY, Access
from automart.web.decorators import View
from automart.web.openapi_headers import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    PREFER,
    references,
)
from automart.web.schemas import PageQuery


def unversioned(view: View) -> View:
    """Document that a view has no `ETag`, and no header of a request that refers to one."""
    note(view, unversioned=True)
    return view


def document_conventions(
    doc: dict[str, Any], info: dict[str, Any], *, method: str, **_context: Any
) -> dict[str, Any]:
    """Add the headers and errors that follow from the kind of operation."""
    parameters = doc.setdefault("parameters", [])
    responses = doc.setdefault("responses", {})
    _document_access(doc, info)
    is_list = any(_is_page_query(parameter) for parameter in parameters)
    errors = {400, 413, 415} if "requestBody" in doc else set()
    if info.get("idempotent"):
        parameters.append(IDEMPOTENCY_KEY)
        errors |= {400, 422}
    if info.get("can_wait"):
        parameters.append(PREFER)
        responses[200] = responses[202] | {"description": "The job, which has ended"}
    is_versioned = not info.get("unversioned")
    if method == "get" and is_versioned:
        parameters.append(IF_NONE_MATCH)
        responses[304] = {"description": HTTPStatus.NOT_MODIFIED.phrase}
    if method in ("patch", "put", "delete") and is_versioned:
        parameters.append(IF_MATCH)
        errors |= {400, 412}
    for error in errors:
        responses.setdefault(error, status_name(error))
    _rename_statuses(responses)
    _document_headers(responses, info, is_list=is_list)
    return doc


def _rename_statuses(responses: dict[Any, Any]) -> None:
    """Replace the names that flask-smorest took from Python: they depend on its version."""
    for status, response in responses.items():
        if isinstance(response, str) and status != "default":
            responses[status] = status_name(int(status))


def _document_access(doc: dict[str, Any], info: dict[str, Any]) -> None:
    """Add who may call an operation, and the errors for everyone else."""
    access: Access | None = info.get("access")
    if access is None:
        return  # `check_that_access_is_stated` reports all of them together
    if access.is_public:
        doc["security"] = []
        return
    doc["security"] = _security(access)
    docs = info["docstring"]
    requirement = f"Requires {access}."
    docs["description"] = "\n\n".join(filter(None, (docs.get("description"), requirement)))
    responses = doc["responses"]
    responses.setdefault(401, "UNAUTHORIZED")
    if access.role is not ANY:  # otherwise nobody with a token is refused
        responses.setdefault(403, "FORBIDDEN")


def _security(access: Access) -> list[dict[str, list[str]]]:
    """Return the alternatives: any token, people in an application, clients with a scope."""
    people: list[dict[str, list[str]]] = [{"oauth2": []}] if access.role else []
    return [{"bearer": []}, *people, *({"oauth2": [scope]} for scope in access.scopes)]


def _document_headers(
    responses: dict[int | str, Any], info: dict[str, Any], *, is_list: bool
) -> None:
    replayed = ("Idempotent-Replayed",) if info.get("idempotent") else ()
    applied = ("Preference-Applied",) if info.get("can_wait") else ()
    headers: dict[int, tuple[str, ...]] = {
        # A replay waits for its job too.
        200: ("ETag", *applied, *(replayed if applied else ()), *(("Link",) if is_list else ())),
        201: ("ETag", "Location", *replayed),
        202: ("Location", "Retry-After", *replayed),
        304: ("ETag",),
    }
    for status, response in responses.items():
        if isinstance(response, dict):
            common = references(*headers.get(int(status), ()))
            response["headers"] = common | response.get("headers", {})


def _is_page_query(parameter: dict[str, Any]) -> bool:
    schema = parameter.get("schema")
    return isinstance(schema, type) and issubclass(schema, PageQuery)
