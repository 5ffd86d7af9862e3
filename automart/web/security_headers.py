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
        defaults = _DEFAULTS
        if "caller" in g or "HTTP_AUTHORIZATION" in request.environ:
            defaults = defaults | {"Cache-Control": _OF_CALLER}
        if request.is_secure:
            defaults = defaults | {"Strict-Transport-Security": f"max-age={HSTS_SECONDS}"}
        # `setdefault` searches all headers for each.
        present = {name.lower() for name in response.headers.keys()}  # noqa: SIM118 - it yields pairs
        for name, value in defaults.items():
            if name.lower() not in present:
                response.headers.add(name, value)
        return response
