"""Domain errors with the HTTP status that a client sees (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class DomainError(Exception):
    """A request cannot be fulfilled. `detail` is shown to the client."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(
        self, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        """`members` are extension members of the problem object (RFC 9457 §3.2)."""
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def as_problem(self) -> dict[str, Any]:
        """Return the problem object without `instance` and `request_id`."""
        return problem(self.status, self.detail, **self.members)


class Malformed(DomainError):
    """The body is not JSON, or a header is malformed."""

    status = HTTPStatus.BAD_REQUEST


class Unauthenticated(DomainError):
    """There is no valid token. `error` is the code of RFC 6750, None if no token was sent."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str, *, error: str | None = None) -> None:
        reason = f', error="{error}", error_description="{detail}"' if error else ""
        super().__init__(detail, headers={"WWW-Authenticate": f'Bearer realm="automart"{reason}'})


class Forbidden(DomainError):
    """The token is valid, but does not allow this."""

    status = HTTPStatus.FORBIDDEN


class NotFound(DomainError):
    """It does not exist, or the caller may not know that it does."""

    status = HTTPStatus.NOT_FOUND


class Conflict(DomainError):
    """The request conflicts with stored data."""

    status = HTTPStatus.CONFLICT


class VersionMismatch(DomainError):
    """`If-Match` names another version."""

    status = HTTPStatus.PRECONDITION_FAILED


class UnsupportedMediaType(DomainError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Invalid(DomainError):
    """The request is well-formed, but has invalid values. `errors` lists them."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, detail: str, *, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        if errors:
            self.members["errors"] = errors

    @classmethod
    def field(cls, name: str, detail: str) -> Invalid:
        """Return the error for one field of the body. `name` may be a path like `make_ids/3`."""
        return cls(FIELDS_ARE_WRONG, errors=[{"detail": detail, "pointer": f"#/{name}"}])


class TooManyRequests(DomainError):
    """The client must wait `retry_after` seconds. `policy` and `quota` are those of `RateLimit`."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, detail: str, *, retry_after: int, policy: str, quota: int) -> None:
        super().__init__(
            detail,
            headers={
                "Retry-After": str(retry_after),
                "RateLimit-Policy": f'"{policy}";q={quota}',
                "RateLimit": f'"{policy}";r=0;t={retry_after}',
            },
        )


class Unavailable(DomainError):
    """A service that the request needs is down."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, detail: str, *, retry_after: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


# Before Python 3.13, http.HTTPStatus has the older phrases of RFC 2616 for these. Titles and the
# names in the OpenAPI document must not depend on the version of Python.
_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}

FIELDS_ARE_WRONG = "The request is well-formed, but some values are invalid."


def status_phrase(status: int) -> str:
    """Return the reason phrase of a status (RFC 9110 §15)."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def status_name(status: int) -> str:
    """Return the name of a status in the OpenAPI document, such as `NOT_FOUND`."""
    return re.sub(r"\W+", "_", status_phrase(status).replace("'", "")).upper()


def problem(status: int, detail: str | None, **members: Any) -> dict[str, Any]:
    """Return a problem object (RFC 9457 §3.1)."""
    title = status_phrase(status)
    return {
        "type": "about:blank",
        "title": title,
        "status": int(status),
        "detail": detail or title,
    } | members
