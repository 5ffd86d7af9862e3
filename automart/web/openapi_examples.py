"""Examples of problems, for the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from automart.core.errors import status_phrase

_DETAILS = {
    HTTPStatus.BAD_REQUEST: "The body is not valid JSON.",
    HTTPStatus.UNAUTHORIZED: "An access token is required.",
    HTTPStatus.FORBIDDEN: "Only administrators may do this.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.CONFLICT: "Another resource has this value, or refers to this one.",
    HTTPStatus.PRECONDITION_FAILED: "The resource has changed since you read it.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body must be application/json.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The request has invalid fields.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests. Try again later.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database is not available. Try again later.",
}
_EXTENSIONS: dict[HTTPStatus, dict[str, Any]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: {
        "errors": [{"detail": "Must not be blank.", "pointer": "#/first_name"}]
    },
}


def problem_example(status: HTTPStatus) -> dict[str, Any]:
    """Return an example of a problem with this status."""
    phrase = status_phrase(status)
    return {
        "type": "about:blank",
        "title": phrase,
        "status": int(status),
        "detail": _DETAILS.get(status, f"{phrase}."),
        "instance": "/v1/customers",
        "request_id": "0198f3a2c5d47b6e9a1f0c3d5e7b9a24",
    } | _EXTENSIONS.get(status, {})
