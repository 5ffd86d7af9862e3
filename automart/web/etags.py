"""ETags (RFC 9110 §8.8.3): a thing's version is the hash of what a GET would answer."""

from __future__ import annotations

import hashlib
import re

from flask import Response, make_response, request
from werkzeug.http import quote_etag

from automart.core.db import Model
from automart.core.errors import Malformed, VersionMismatch
from automart.web.media_types import JSON
from automart.web.schemas import Schema

_ENTITY_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Not in a hexadecimal hash. It separates the versions of a resource and of what is shown with it.
_DETAIL = "."
_ENTITY_TAGS = re.compile(rf"\*|{_ENTITY_TAG}(?:[ \t]*,[ \t,]*{_ENTITY_TAG})*")


def check_version(thing: Model, schema: type[Schema]) -> None:
    """Raise `VersionMismatch` if the request has an `If-Match` that `thing` does not match.

    `Malformed` if that is no list of entity tags.
    Call it in the transaction that will change `thing`, with its row locked.
    """
    asked = request.headers.get("If-Match")
    if asked is None:
        return
    if not _ENTITY_TAGS.fullmatch(asked):
        raise Malformed('If-Match must be * or ETags in their quotes: "…", "…".')
    sent = request.if_match
    # Werkzeug parses `""` as None.
    versions = {tag.partition(_DETAIL)[0] for tag in sent.as_set() if tag}
    if not sent.star_tag and _version_of(thing, schema) not in versions:
        raise VersionMismatch("It has changed since you read it. Read it again.")


def version_headers(thing: Model, schema: type[Schema], detail: str) -> dict[str, str]:
    """Return the `ETag` of a response that shows more of `thing` than `schema` does.

    `detail` is the version of what it shows more. `check_version` ignores it, because only what
    `schema` shows can be updated.
    """
    return {"ETag": quote_etag(f"{_version_of(thing, schema)}{_DETAIL}{detail}")}


def secret_headers(thing: Model, schema: type[Schema]) -> dict[str, str]:
    """The headers of an answer that shows a secret beside what a GET of `thing` shows: nobody may
    store it, and its `ETag` is that of the GET."""
    return {"Cache-Control": "no-store", "ETag": quote_etag(_version_of(thing, schema))}


def version_response(response: Response) -> Response:
    """Add the `ETag` of a thing that is answered; answer 304 to one who has it already."""
    is_thing = response.status_code in (200, 201) and response.mimetype == JSON
    if not is_thing:
        return response
    if "ETag" not in response.headers:
        response.set_etag(_hash(response.get_data()))
    if request.method in ("GET", "HEAD"):
        response.make_conditional(request)
    return response


def _version_of(thing: Model, schema: type[Schema]) -> str:
    return _hash(make_response(schema().dump(thing)).get_data())


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]
