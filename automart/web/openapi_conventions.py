"""Conventions that the OpenAPI document of every operation follows: access, headers, errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from automart.core.errors import status_name
from automart.web.authorization import Access
from automart.web.schemas import PageQuery

_OPERATIONS = frozenset({"get", "post", "put", "patch", "delete"})

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "An `ETag`. The request fails with 412 if the resource has changed since then.",
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "An `ETag`. The response is 304 if the resource has not changed since then.",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "A repeated request with this key within 24 hours gets the same response.",
}
PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string", "examples": ["wait=10"]},
    "description": "`wait=N` waits up to N seconds (30 at most) for the job to end (RFC 7240).",
}


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


ETAG = {"ETag": _header("The version of the resource, for `If-Match` and `If-None-Match`.")}
LINK = {
    "Link": _header(
        'The URL of the next page, as `rel="next"` (RFC 8288). Absent on the last page.'
    )
}
LOCATION = {"Location": _header("The absolute URL of the new resource.")}
REPLAYED = {
    "Idempotent-Replayed": _header("`true` if this repeats the response to an earlier request.")
}
REQUEST_ID = {
    "X-Request-ID": _header("The id of this request: the one that was sent, or a new one.")
}
RETRY_AFTER = {"Retry-After": _header("Seconds to wait before the next request.", "integer")}
PREFERENCE_APPLIED = {
    "Preference-Applied": _header("The accepted `wait`, if the job ended within that time.")
}


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
    if method == "get":
        parameters.append(IF_NONE_MATCH)
        responses[304] = {"description": HTTPStatus.NOT_MODIFIED.phrase}
    if method in ("patch", "put", "delete"):
        parameters.append(IF_MATCH)
        errors |= {400, 412}
    for error in errors:
        responses.setdefault(error, status_name(error))
    _rename_statuses(responses)
    _document_headers(responses, info, is_list=is_list)
    return doc


def document_not_found(paths: dict[str, dict[str, Any]]) -> None:
    """Add a 404 to all operations whose path names a resource."""
    not_found = {"$ref": "#/components/responses/NOT_FOUND"}
    for path, operations in paths.items():
        if "{" not in path:
            continue
        for method, operation in operations.items():
            if method in _OPERATIONS:
                operation["responses"].setdefault("404", not_found)


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
    doc["security"] = [{"bearer": []}, {"oauth2": []}]
    docs = info["docstring"]
    requirement = f"Requires {access}."
    docs["description"] = "\n\n".join(filter(None, (docs.get("description"), requirement)))
    responses = doc["responses"]
    responses.setdefault(401, "UNAUTHORIZED")
    responses.setdefault(403, "FORBIDDEN")


def _document_headers(
    responses: dict[int | str, Any], info: dict[str, Any], *, is_list: bool
) -> None:
    replayed = REPLAYED if info.get("idempotent") else {}
    applied = PREFERENCE_APPLIED if info.get("can_wait") else {}
    headers = {
        200: ETAG | applied | (LINK if is_list else {}),
        201: ETAG | LOCATION | replayed,
        202: LOCATION | RETRY_AFTER | replayed,
    }
    for status, response in responses.items():
        if isinstance(response, dict):
            common = REQUEST_ID | headers.get(int(status), {})
            response["headers"] = common | response.get("headers", {})


def _is_page_query(parameter: dict[str, Any]) -> bool:
    schema = parameter.get("schema")
    return isinstance(schema, type) and issubclass(schema, PageQuery)
