"""The headers of requests and responses, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any

_ETAG = r'(W/)?"[!#-~\x80-\xff]*"'
_ETAGS = rf"^(\*|{_ETAG}([ \t]*,[ \t,]*{_ETAG})*)$"
# The printable characters of Latin-1, without blanks at the ends, which HTTP does not keep.
_VISIBLE = r"!-~\xa1-\xac\xae-\xff"
_PRINTABLE = rf"^[{_VISIBLE}]([ {_VISIBLE}]*[{_VISIBLE}])?$"

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string", "pattern": _ETAGS},
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
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _PRINTABLE},
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


RESPONSE_HEADERS = {
    "ETag": _header("The version of the resource, for `If-Match` and `If-None-Match`."),
    "Link": _header(
        'The URL of the next page, as `rel="next"` (RFC 8288). Absent on the last page.'
    ),
    "Location": _header("The absolute URL of the new resource."),
    "Idempotent-Replayed": _header("`true` if this repeats the response to an earlier request."),
    "X-Request-ID": _header("The id of this request: the one that was sent, or a new one."),
    "Retry-After": _header("Seconds to wait before the next request.", "integer"),
    "Preference-Applied": _header("The accepted `wait`, if the job ended within that time."),
    "RateLimit": _header(
        "The requests that are left (`r`) and the seconds until they are renewed (`t`), by limit."
        " Only if there are limits."
    ),
    "RateLimit-Policy": _header(
        "The limits: requests (`q`) in a window of seconds (`w`). Only if there are limits."
    ),
    "Accept": _header("The media types that are accepted, if the body has another one."),
    "Accept-Encoding": _header("`identity`, if the body was compressed: bodies must not be."),
    "WWW-Authenticate": _header(
        "How to authenticate, and what is wrong with the token or its scope (RFC 6750 §3)."
        " With 403 only if service clients with a scope may do this."
    ),
}
COMMON = ("X-Request-ID", "RateLimit", "RateLimit-Policy")
_OF_ERRORS = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    415: ("Accept", "Accept-Encoding"),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def references(*names: str) -> dict[str, Any]:
    """Return these headers, as references to the components of the document."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def headers_of_error(status: int) -> dict[str, Any]:
    """Return the headers of an error with this status."""
    return references(*COMMON, *_OF_ERRORS.get(status, ()))
