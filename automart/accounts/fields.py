"""Fields for passwords, secrets and redirect URIs."""

from __future__ import annotations

import re
import unicodedata
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

from automart.accounts.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD, password_problem
from automart.core.text import trim
from automart.web.fields import TEXT_PATTERN
from automart.web.types import Values

LOOPBACK = ("localhost", "127.0.0.1", "::1")
LONGEST_URI = 2000
# RFC 8252 §7.1: the reverse of a domain name of its maker. `javascript:` and the like have no dot.
PRIVATE_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+-]*(\.[A-Za-z0-9+-]+)+:/.*")

_HOST, _REST = r"[!$-.0-;=A-\[\]_a-z~]", r"[!$-;=?-\[\]-~]"
_URI_PATTERN = (
    rf"^([Hh][Tt][Tt][Pp][Ss]://{_HOST}+([/?]{_REST}*)?"
    rf"|[Hh][Tt][Tt][Pp]://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{{0,5}})?([/?]{_REST}*)?"
    rf"|[A-Za-z][A-Za-z0-9+-]*(\.[A-Za-z0-9+-]+)+:/{_REST}*)$"
)


class NewPassword(fields.String):
    """A password to set, exactly as it was sent: neither trimmed nor normalized."""

    def __init__(self, *, metadata: Values | None = None, **kwargs: Any) -> None:
        # For the OpenAPI document. `password_problem` checks them.
        lengths = {"minLength": SHORTEST_PASSWORD, "maxLength": LONGEST_PASSWORD}
        metadata = {"format": "password", "pattern": TEXT_PATTERN} | lengths | (metadata or {})
        super().__init__(load_only=True, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        password: str = super()._deserialize(value, *args, **kwargs)
        problem = password_problem(password)
        if problem is not None:
            raise ValidationError(problem)
        return password


class Secret(fields.String):
    """A password or secret to compare, exactly as it was sent."""

    def __init__(self, *, metadata: Values | None = None, **kwargs: Any) -> None:
        metadata = {"format": "password"} | (metadata or {})
        super().__init__(load_only=True, metadata=metadata, **kwargs)


class RedirectUri(fields.String):
    """The URL at which an application receives codes: https, or that of a native application
    (RFC 8252), which is http on a loopback address or has a private scheme."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            validate=validate.Length(max=LONGEST_URI),
            metadata={"format": "uri", "pattern": _URI_PATTERN},
            **kwargs,
        )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        uri = trim(super()._deserialize(value, *args, **kwargs))
        if not _is_safe_redirect_uri(uri):
            raise ValidationError(
                "Must be an absolute https URL without a fragment, http on a loopback address, or"
                " have a private scheme as in com.example.app:/done."
            )
        return uri


def _is_safe_redirect_uri(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        hostname, _port = parts.hostname, parts.port
    except ValueError:
        return False
    clean = uri.isascii() and not any(c.isspace() or c in '"\\<>#' for c in uri)
    printable = not any(unicodedata.category(c) == "Cc" for c in uri)
    secure = parts.scheme == "https" or (parts.scheme == "http" and hostname in LOOPBACK)
    is_ours = (secure and hostname) or PRIVATE_SCHEME.fullmatch(uri)
    return bool(clean and printable and is_ours and "@" not in parts.netloc)
