"""CORS: scripts of other sites may call the API (`CORS_ORIGINS`)."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from flask import Flask, Response, request

_ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_ALLOWED_HEADERS = (
    *("Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key"),
    *("Prefer", "X-Request-ID"),
)
_EXPOSED_HEADERS = (
    *("ETag", "Link", "Location", "Retry-After", "Preference-Applied", "Idempotent-Replayed"),
    *("RateLimit", "RateLimit-Policy", "WWW-Authenticate", "X-Request-ID"),
)
PREFLIGHT_SECONDS = 3600


def allow_origins(app: Flask, origins: Sequence[str]) -> None:
    """Let scripts of these origins call `app` and read its responses. They send tokens, no cookies.

    flask-cors is not used: it guesses which origins are regular expressions, and does not match
    those to the end.
    """
    if not origins:
        return
    known = frozenset(origins)

    @app.before_request
    def answer_preflight() -> Response | None:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return None
        return Response(status=HTTPStatus.NO_CONTENT)

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin not in known:
            return response
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = ", ".join(_EXPOSED_HEADERS)
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = ", ".join(_ALLOWED_METHODS)
            response.headers["Access-Control-Allow-Headers"] = ", ".join(_ALLOWED_HEADERS)
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response
