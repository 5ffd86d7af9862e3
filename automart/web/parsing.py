"""Parsing of bodies and queries: strict JSON, and all errors in one list with pointers."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Set
from itertools import islice
from typing import Any, NoReturn
from urllib.parse import quote

import marshmallow
from flask import Request, request
from webargs import core
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from automart.core.errors import FIELDS_ARE_WRONG, Invalid, Malformed, UnsupportedMediaType
from automart.core.text import has_control_characters, trim
from automart.web.media_types import JSON, MERGE_PATCH, MULTIPART

# Bounds the size of a response: a short body can have many errors.
MAX_REPORTED_ERRORS = 100
# The characters that RFC 3986 §3.5 allows unescaped in a fragment.
FRAGMENT = "!$&'()*+,;=:@/?"


class StrictParser(FlaskParser):
    """webargs' parser, with strict rules for media types, JSON and unknown fields."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012 - webargs declares it so
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": marshmallow.RAISE,
        "files": marshmallow.RAISE,
    }

    def use_args(self, argmap: Any, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """Create the schema once. webargs would create one with each request."""
        schema = argmap() if isinstance(argmap, type) else argmap
        return super().use_args(schema, *args, **kwargs)

    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:
        body = read_body(req)
        if not body and getattr(schema, "body_may_be_absent", False):
            return core.missing
        return parse_body(req)

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> Any:
        query = super().load_querystring(req, schema)
        known = {field.data_key or name for name, field in schema.load_fields.items()}
        # A parameter without a value counts as absent. Misspelt ones are still reported.
        given = MultiDict(
            (name, value)
            for name, value in req.args.items(multi=True)
            if not _is_blank(value) or name not in known
        )
        errors = [
            {"detail": "Given more than once.", "parameter": name}
            for name, values in given.lists()
            if len(values) > 1 and name not in query.multiple_keys
        ]
        if errors:
            raise Invalid(FIELDS_ARE_WRONG, errors=errors[:MAX_REPORTED_ERRORS])
        return self._makeproxy(given, schema)

    def load_files(self, req: Request, schema: marshmallow.Schema) -> Any:
        """Return the files of a form, and its fields that are not blank. `largest_body` of the
        schema is the limit of the body."""
        if req.mimetype != MULTIPART:
            raise UnsupportedMediaType(
                f"The body must be sent as {MULTIPART}.", headers={"Accept": MULTIPART}
            )
        req.max_content_length = getattr(schema, "largest_body", req.max_content_length)
        files = {
            name
            for name, field in schema.load_fields.items()
            if isinstance(field, marshmallow.fields.Raw)
        }
        fields = set(schema.load_fields) - files
        errors = [
            *_misplaced(req.form.keys() - fields, "This field is not a file, or is not expected."),
            *_misplaced(req.files.keys() & fields, "This field must not be a file."),
        ]
        for given in (req.files, req.form):
            repeated = {name for name, values in given.lists() if len(values) > 1}
            errors += _misplaced(repeated, "Given more than once.")
        if errors:
            raise Invalid(FIELDS_ARE_WRONG, errors=errors)
        texts = [(name, text) for name, text in req.form.items() if not _is_blank(text)]
        return self._makeproxy(MultiDict([*req.files.items(), *texts]), schema)

    def handle_error(
        self, error: marshmallow.ValidationError, *args: Any, **_kwargs: Any
    ) -> NoReturn:
        errors = list(islice(_located(error.messages_dict), MAX_REPORTED_ERRORS))
        schema = next(value for value in args if isinstance(value, marshmallow.Schema))
        known = ", ".join(
            sorted(field.data_key or name for name, field in schema.load_fields.items())
        )
        for entry in errors:
            if "parameter" in entry and entry["detail"] == schema.error_messages["unknown"]:
                entry["detail"] = f"Unknown parameter. Known are: {known}."
        raise Invalid(FIELDS_ARE_WRONG, errors=errors)


def _is_blank(text: str) -> bool:
    """Return whether a text has no value. One of control characters is wrong instead."""
    return not trim(text) and not has_control_characters(text.strip())


def _misplaced(names: Set[str], detail: str) -> list[dict[str, str]]:
    return [{"detail": detail, "pointer": pointer_to((name,))} for name in sorted(names)]


def read_body(req: Request) -> bytes:
    """Return the whole body. Raises `RequestEntityTooLarge`."""
    body = req.get_data(cache=True)
    limit = req.max_content_length
    # werkzeug silently truncates a chunked body, which has no length, at the limit.
    if req.content_length is None and limit is not None and len(body) >= limit:
        raise RequestEntityTooLarge
    if req.content_length is not None and len(body) < req.content_length:
        raise Malformed("The body is shorter than its Content-Length.")
    return body


def parse_body(req: Request) -> Any:
    """Return the JSON of the body. Raises `UnsupportedMediaType` or `Malformed`."""
    body = read_body(req)
    taken = (JSON, MERGE_PATCH) if req.method == "PATCH" else (JSON,)
    if body and req.mimetype not in taken:
        raise UnsupportedMediaType(
            f"The body must be sent as {JSON}.", headers={"Accept": ", ".join(taken)}
        )
    return parse_json(body)


def refuse_encoded_body() -> None:
    """Raise `UnsupportedMediaType` for a compressed body (RFC 9110 §8.4)."""
    coding = request.environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if coding not in ("", "identity"):
        raise UnsupportedMediaType(
            "The body must not be compressed.", headers={"Accept-Encoding": "identity"}
        )


def parse_json(body: bytes) -> Any:
    """Parse JSON (RFC 8259) in UTF-8. Raises `Malformed`, also for NaN and duplicate names."""
    try:
        return json.loads(
            body.removeprefix(BOM_UTF8).decode("utf-8"),
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
    """Return an integer; infinity, as for `1e999`, if it is too long for any field. Parsing a very
    long integer would take too much time."""
    return int(digits) if len(digits) < 400 else float(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _located(messages: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the errors of each location: parameters of a query, pointers into a body."""
    for location, found in messages.items():
        for path, detail in flatten_messages(found):
            if location == "query":
                yield {"detail": detail, "parameter": path[0] if path else ""}
            else:
                yield {"detail": detail, "pointer": pointer_to(path)}


def flatten_messages(
    messages: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path and the text of each of marshmallow's nested messages."""
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            # marshmallow keeps what concerns a whole object under "_schema".
            yield from flatten_messages(below, path if key == "_schema" else (*path, str(key)))
    elif isinstance(messages, list):
        for message in messages:
            yield from flatten_messages(message, path)
    else:
        yield path, str(messages)


def pointer_to(path: tuple[str, ...]) -> str:
    """Return a JSON pointer as a URI fragment (RFC 6901 §6)."""
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in path)
    return "#" + quote("".join(f"/{part}" for part in escaped), FRAGMENT, errors="replace")
