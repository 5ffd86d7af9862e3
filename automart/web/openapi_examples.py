"""Examples of problems and path parameters, and what requests without example need."""

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

_PATH_EXAMPLES = {"make_id": 542, "sprocket_id": 2, "model_id": 1864}
_QUERY_EXAMPLES = {
    "start_datetime": "2030-03-01T09:00:00Z",
    "end_datetime": "2030-03-04T09:00:00Z",
}
_NEEDS = {
    "a client's id and secret, or a code": ("createToken",),
    "an application, and to be logged in by the page": (
        "requestAuthorization",
        "requestAuthorizationByForm",
    ),
    "a token": ("revokeToken",),
    "an account": ("logIn",),
    "an existing client": ("getClient", "updateClient", "rotateClientSecret"),
    "an existing job": ("getJob",),
    "a vehicle sync that has not ended": ("cancelJob",),
    "an own model": ("updateModel",),
    "a file": ("replaceCustomerPhoto", "importCustomers", "importCars"),
    "the photo of a customer": ("getPhoto",),
    "an existing booking": ("getBooking", "updateBooking"),
    "an existing manufacturer": (
        "getManufacturer",
        "updateManufacturer",
        "createManufacturerClient",
    ),
    "an existing regional office": (
        "getRegionalOffice",
        "updateRegionalOffice",
        "rotateWebhookSecret",
        "createRegionalOfficeClient",
    ),
    "the token of an office's client": ("reportSale",),
    "the token of a manufacturer's client, and a purchase": ("updatePurchaseState",),
    "the token of a manufacturer's client": ("listVehiclesForManufacturing",),
    "a purchase": ("getPurchase",),
    "an existing delivery": ("getWebhookDelivery", "redeliverWebhook"),
}
_NEED_OF_OPERATION = {name: need for need, names in _NEEDS.items() for name in names}


def add_examples(paths: dict[str, Any]) -> None:
    """Add the ids of samples and other required parameters, or what an operation needs first."""
    for path in paths.values():
        for parameter in path.get("parameters", ()):
            if parameter.get("schema", {}).get("type") == "integer":
                parameter["example"] = _PATH_EXAMPLES.get(parameter["name"], 1)
        for operation in path.values():
            if isinstance(operation, dict):
                _add_to_operation(operation)


def _add_to_operation(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter.get("required") and parameter["name"] in _QUERY_EXAMPLES:
            parameter["example"] = _QUERY_EXAMPLES[parameter["name"]]
    need = _NEED_OF_OPERATION.get(operation.get("operationId", ""))
    if need:
        operation["description"] += f"\n\nTo try it out, you need {need}."


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
