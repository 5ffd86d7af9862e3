"""ETags (RFC 9110 §8.8.3): the version of a resource is the hash of its representation."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from flask import Response, make_response, request
from sqlalchemy import Row
from werkzeug.http import quote_etag

from automart.core.db import Model
from automart.core.errors import Malformed, VersionMismatch
from automart.web.media_types import JSON
from automart.web.schemas import Schema
from automart.web.urls import url_root

_ENTITY_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Separates the versions of a resource and of what is shown with it. Hexadecimal hashes have no dot.
_SEPARATOR = "."
_ENTITY_TAGS = re.compile(rf"\*|{_ENTITY_TAG}(?:[ \t]*,[ \t,]*{_ENTITY_TAG})*")


def check_version(thing: Model | Row[Any], schema: type[Schema]) -> None:
    """Raise `VersionMismatch` if the request has an `If-Match` that does not match `thing`.

    Raise `Malformed` if it is not a list of ETags. Call this in the transaction that changes
    `thing`, with its row locked, or if the change is not made to another version than this.
    """
    header = request.headers.get("If-Match")
    if header is None:
        return
    if not _ENTITY_TAGS.fullmatch(header):
        raise Malformed('If-Match must be * or a list of quoted ETags: "…", "…".')
    sent = request.if_match
    # Proxies that compress responses make ETags weak. Werkzeug parses `""` as None.
    versions = {tag.partition(_SEPARATOR)[0] for tag in sent.as_set(include_weak=True) if tag}
    if not sent.star_tag and _version_of(thing, schema) not in versions:
        raise VersionMismatch("It has changed since you read it. Read it again.")


def version_headers(thing: Model, schema: type[Schema], detail: str) -> dict[str, str]:
    """Return the `ETag` of a response that shows more of `thing` than `schema` does.

    `detail` is the version of the additional part. `check_version` ignores it, because only what
    `schema` shows can be updated.
    """
    return {"ETag": quote_etag(f"{_version_of(thing, schema)}{_SEPARATOR}{detail}")}


def secret_headers(thing: Model, schema: type[Schema]) -> dict[str, str]:
    """Return the headers of a response that shows a secret in addition to `thing`.

    No cache may store it. Its `ETag` is that of a GET, which does not show the secret.
    """
    return {"Cache-Control": "no-store", "ETag": quote_etag(_version_of(thing, schema))}


def version_response(response: Response) -> Response:
    """Add the `ETag` of a resource. Respond 304 to a GET of a version that the client has."""
    is_thing = response.status_code in (200, 201) and response.mimetype == JSON
    if not is_thing:
        return response
    if "ETag" not in response.headers:
        response.set_etag(_hash(response.get_data()))
    if request.method in ("GET", "HEAD") and "If-None-Match" in request.headers:
        response.make_conditional(request)
    return response


def _version_of(thing: Model | Row[Any], schema: type[Schema]) -> str:
    return _hash(make_response(schema().dump(thing)).get_data())


def _hash(body: bytes) -> str:
    # Absolute URLs differ by the host and prefix that a client uses, and the version does not.
    if b"://" in body:
        body = body.replace(f"{url_root()}{request.script_root}/".encode(), b"\0/")
    return hashlib.sha256(body).hexdigest()[:32]
