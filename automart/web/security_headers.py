"""Security headers for browsers and caches."""

from __future__ import annotations

from flask import Flask, Response, g, request

HSTS_SECONDS = 365 * 24 * 3600

# For JSON too: a browser must not render a response as a page. Pages set a policy of their own.
_DEFAULTS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# A cache may store it for this caller alone, and asks every time whether it is still valid.
_OF_CALLER = "private, no-cache"


def add_security_headers(app: Flask) -> None:
    """Add security headers to every response of `app`, unless the view has set them."""

    @app.after_request
    def add(response: Response) -> Response:
        for name, value in _DEFAULTS.items():
            response.headers.setdefault(name, value)
        if "caller" in g or "Authorization" in request.headers:
            response.headers.setdefault("Cache-Control", _OF_CALLER)
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={HSTS_SECONDS}")
        return response
