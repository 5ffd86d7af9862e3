"""Security headers for browsers and caches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HSTS_SECONDS = 365 * 24 * 3600

# For JSON too: a browser must not render a response as a page. Pages set a policy of their own.
_ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
# A cache may store it for this caller alone, and asks every time whether it is still valid. Whether
# the token or cookie is valid, and was used, does not matter.
_WITH_CREDENTIALS = (("Cache-Control", "private, no-cache"),)
_OVER_TLS = (("Strict-Transport-Security", f"max-age={HSTS_SECONDS}"),)


class SecurityHeaders:
    """WSGI middleware that adds security headers to every response, unless the view has set them.

    A hook of Flask takes three times as long, because each header is checked and copied.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            present = {name.lower() for name, _ in headers}
            missing = [
                (name, value) for name, value in _defaults(environ) if name.lower() not in present
            ]
            return start_response(status, headers + missing, exc_info)

        return self._app(environ, start)


def _defaults(environ: WSGIEnvironment) -> Iterator[tuple[str, str]]:
    yield from _ALWAYS
    if "HTTP_AUTHORIZATION" in environ or "HTTP_COOKIE" in environ:
        yield from _WITH_CREDENTIALS
    if environ["wsgi.url_scheme"] == "https":
        yield from _OVER_TLS
