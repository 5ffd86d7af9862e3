"""The blueprint of the OAuth 2 endpoints, and what documents their requests and errors."""

from __future__ import annotations

from typing import Any

from automart.oauth import schemas
from automart.web import Blueprint
from automart.web.media_types import FORM, JSON
from automart.web.openapi_headers import references

blp = Blueprint("oauth", __name__, description="OAuth 2 for service clients and applications")


def form_body(schema: type[Any]) -> dict[str, Any]:
    """Return the documentation of a form-encoded request body."""
    return {"required": True, "content": {FORM: {"schema": schema}}}


def _error(description: str, code: str, example: str, *headers: str) -> dict[str, Any]:
    body = {"error": code, "error_description": example}
    return {
        "description": description,
        "content": {JSON: {"schema": schemas.OAuthError, "example": body}},
        "headers": references(*headers),
    }


ERRORS = {
    "400": _error(
        "The request is invalid", "invalid_request", "Missing 'response_type' in request."
    ),
    "401": _error(
        "The client is unknown, or its secret is wrong",
        "invalid_client",
        "The client is unknown, or its secret is wrong.",
        "WWW-Authenticate",
    ),
    "default": _error(
        "Another error",
        "temporarily_unavailable",
        "The database is not available. Try again later.",
        "Retry-After",
    ),
}
