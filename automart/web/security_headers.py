"""What browsers are told: how far to trust our answers, and which other sites may read them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from flask import Flask, Response, request

HSTS_SECONDS = 365 * 24 * 3600

# Of no use to JSON, but an answer that a browser takes for a page must not become one. Pages say
# themselves what they load.
_DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# What a script on another site needs to send and to read.
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SENT = (
    *("Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key"),
    *("Prefer", "X-Request-ID"),
)
_READ = (
    *("ETag", "Link", "Location", "Retry-After", "Preference-Applied", "Idempotent-Replayed"),
    *("RateLimit", "RateLimit-Policy", "WWW-Authenticate", "X-Request-ID"),
)
PREFLIGHT_SECONDS = 3600


def protect_browsers(app: Flask) -> None:
    """Add security headers to every answer of `app` that has none of its own."""

    @app.after_request
    def add(response: Response) -> Response:
        for name, value in _DEFAULTS.items():
            response.headers.setdefault(name, value)
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={HSTS_SECONDS}")
        return response


def let_in_origins(app: Flask, origins: Sequence[str]) -> None:
    """Let scripts of these sites call `app` and read its answers. They send tokens, no cookies.

    flask-cors guesses which origins are regular expressions, and matches those at their beginning.
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
    def let_in(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin not in known:
            return response
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = ", ".join(_READ)
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = ", ".join(_METHODS)
            response.headers["Access-Control-Allow-Headers"] = ", ".join(_SENT)
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response
