"""Turns every error of a request into problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from automart.core.errors import DomainError, Unavailable, problem
from automart.core.integrity_errors import explain_violation
from automart.core.outages import Outage, database_outage, database_sentence
from automart.web.media_types import JSON, PROBLEM_JSON

log = structlog.get_logger(__name__)

# The characters that RFC 3986 §3.3 allows unescaped in a path.
PATH = "/!$&'()*+,;=:@"
OAUTH = "/oauth/"
_OAUTH_ERRORS = {
    HTTPStatus.UNAUTHORIZED: "invalid_client",
    HTTPStatus.TOO_MANY_REQUESTS: "temporarily_unavailable",
    HTTPStatus.INTERNAL_SERVER_ERROR: "server_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "temporarily_unavailable",
}


def register_error_handlers(app: Flask) -> None:
    """Answer every error of `app` with problem+json."""
    app.register_error_handler(DomainError, _domain_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(IntegrityError, _violation)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(PoolTimeout, _no_connection)
    app.register_error_handler(Exception, _unexpected)


def _respond(body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    if request.path.startswith(OAUTH):
        return _respond_as_oauth(body, headers)
    instance = quote(request.script_root + request.path, PATH)
    body |= {"instance": instance, "request_id": g.get("request_id")}
    response = Response(current_app.json.dumps(body), status=body["status"], mimetype=PROBLEM_JSON)
    response.headers.update(headers or {})
    return response


def _respond_as_oauth(body: dict[str, Any], headers: Mapping[str, str] | None) -> Response:
    """Return an error in the form of OAuth (RFC 6749 §5.2), which OAuth clients expect."""
    status = body["status"]
    # The RFC allows printable ASCII without quotes and backslashes.
    description = "".join(
        character if " " <= character <= "~" and character not in '"\\' else "'"
        for character in body["detail"]
    )
    error = _OAUTH_ERRORS.get(status, "invalid_request")
    text = current_app.json.dumps({"error": error, "error_description": description})
    response = Response(text, status=status, mimetype=JSON)
    response.headers.update({"Cache-Control": "no-store", **(headers or {})})
    return response


def _domain_error(error: DomainError) -> Response:
    return _respond(error.as_problem(), error.headers)


def _http_error(error: HTTPException) -> Response | HTTPException:
    if error.code is None or error.code < 400:
        return error
    headers = {
        k: v for k, v in error.get_headers() if k.lower() not in ("content-type", "content-length")
    }
    return _respond(problem(error.code, error.description), headers)


def _violation(error: IntegrityError) -> Response:
    """Respond to a violated constraint: 409, or 422 if a referenced row does not exist."""
    explanation = explain_violation(error)
    if explanation is None:
        return _unexpected(error)
    if explanation.is_reference and request.method != "DELETE":
        return _respond(problem(HTTPStatus.UNPROCESSABLE_ENTITY, explanation.detail))
    return _respond(problem(HTTPStatus.CONFLICT, explanation.detail))


def _database_error(error: DBAPIError) -> Response:
    outage = database_outage(error)
    return _unexpected(error) if outage is None else _unavailable(error, outage)


def _no_connection(error: PoolTimeout) -> Response:
    return _unavailable(error, Outage.BUSY)


def _unavailable(error: DBAPIError | PoolTimeout, outage: Outage) -> Response:
    log.error("database_unavailable", outage=outage, exc_info=error)
    unavailable = Unavailable(database_sentence(outage))
    return _respond(unavailable.as_problem(), unavailable.headers)


def _unexpected(error: Exception) -> Response:
    log.error("unexpected_error", exc_info=error)
    return _respond(
        problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error. It has been logged.")
    )
