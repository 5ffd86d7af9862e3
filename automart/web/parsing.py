"""Reading of bodies and queries: strict JSON in, one list of errors with pointers out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NoReturn
from urllib.parse import quote

import marshmallow
from flask import Request
from webargs import core
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge

from automart.core.errors import FIELDS_ARE_WRONG, Invalid, Malformed, UnsupportedMediaType
from automart.web.media_types import JSON, MULTIPART

# A body of a few bytes a mistake must not buy an answer of many.
MOST_ERRORS_TOLD = 100
# What RFC 3986 §3.5 lets stand in a fragment as it is.
FRAGMENT = "!$&'()*+,;=:@/?"


class StrictParser(FlaskParser):
    """webargs' parser, with the contract's words about media types, JSON and unknown fields."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - webargs declares it so
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": marshmallow.RAISE,
        "files": marshmallow.RAISE,
    }

    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:
        body = read_body(req)
        if not body and getattr(schema, "body_may_be_absent", False):
            return core.missing
        if body and req.mimetype != JSON:
            raise UnsupportedMediaType(
                f"The body must be sent as {JSON}.", headers={"Accept": JSON}
            )
        return parse_json(body)

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> Any:
        query = super().load_querystring(req, schema)
        errors = [
            {"detail": "Given more than once.", "parameter": name}
            for name, values in req.args.lists()
            if len(values) > 1 and name not in query.multiple_keys
        ]
        if errors:
            raise Invalid(FIELDS_ARE_WRONG, errors=errors[:MOST_ERRORS_TOLD])
        return query

    def load_files(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The files of a form and nothing else; the schema's `largest_body` is its limit."""
        if req.mimetype != MULTIPART:
            raise UnsupportedMediaType(f"The body must be sent as {MULTIPART}.")
        req.max_content_length = getattr(schema, "largest_body", req.max_content_length)
        errors = [
            {"detail": "Not a file that can be sent here.", "pointer": pointer_to((name,))}
            for name in req.form
        ]
        errors += [
            {"detail": "Given more than once.", "pointer": pointer_to((name,))}
            for name, files in req.files.lists()
            if len(files) > 1
        ]
        if errors:
            raise Invalid(FIELDS_ARE_WRONG, errors=errors)
        return super().load_files(req, schema)

    def handle_error(
        self, error: marshmallow.ValidationError, *_args: Any, **_kwargs: Any
    ) -> NoReturn:
        errors = islice(_located(error.messages_dict), MOST_ERRORS_TOLD)
        raise Invalid(FIELDS_ARE_WRONG, errors=list(errors))


def read_body(req: Request) -> bytes:
    """The whole body. Raises `RequestEntityTooLarge`."""
    body = req.get_data(cache=True)
    limit = req.max_content_length
    # One without a length, that is, in chunks, is cut off at the limit without a word.
    if req.content_length is None and limit is not None and len(body) >= limit:
        raise RequestEntityTooLarge
    return body


def parse_json(body: bytes) -> Any:
    """Parse as RFC 8259 has it: UTF-8, no NaN or Infinity, no name twice in an object."""
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_int=_whole_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique_names,
        )
    except RecursionError:
        raise Malformed("The JSON is nested too deeply.") from None
    except UnicodeDecodeError:
        raise Malformed("The body is not valid UTF-8.") from None
    except json.JSONDecodeError as error:  # its text depends on the version of Python
        where = f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"The body is not valid JSON: there is an error at {where}.") from None
    except ValueError as error:
        raise Malformed(f"The body is not valid JSON: {error}.") from None


def _whole_number(digits: str) -> int | float:
    """Beyond all that a field takes, it is infinity, as `1e999` is: Python parses it in no time."""
    return int(digits) if len(digits) < 400 else float(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _located(messages: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The errors of each location: `query` names parameters, all others point into the body."""
    for location, found in messages.items():
        for path, detail in _flat(found, ()):
            if location == "query":
                yield {"detail": detail, "parameter": path[0] if path else ""}
            else:
                yield {"detail": detail, "pointer": pointer_to(path)}


def _flat(messages: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            # marshmallow keeps what concerns a whole object under "_schema".
            yield from _flat(below, path if key == "_schema" else (*path, str(key)))
    elif isinstance(messages, list):
        for message in messages:
            yield from _flat(message, path)
    else:
        yield path, str(messages)


def pointer_to(path: tuple[str, ...]) -> str:
    """A JSON pointer (RFC 6901 §6, as a URI fragment)."""
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return "#" + quote("".join(f"/{part}" for part in escaped), FRAGMENT, errors="replace")
