"""Parsers of headers, bodies, forms and cursors: any input is read or refused, and never fails."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import ValidationError
from werkzeug.datastructures import MultiDict

from automart.background import prefer_wait
from automart.core.errors import Invalid, Malformed
from automart.oauth.requests import find_malformed_parameter, parameters
from automart.web import etags, idempotency, pagination, parsing
from automart.web.fields import EmailAddress, PhoneNumber, UtcTime, rfc3339
from automart.web.media_types import accepted_media_types

HEADERS = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def bare() -> Flask:
    """An application without routes and database, for requests that only parsers see."""
    app = Flask(__name__)
    app.secret_key = "a key"
    return app


def test_any_etags_are_read_or_refused(bare: Flask) -> None:
    @given(HEADERS | st.text('W/"a,* \t', max_size=12))
    @example('"",,"a"')
    def holds(header: str) -> None:
        with bare.test_request_context(headers={"If-Match": header}):
            is_list = bool(etags._ENTITY_TAGS.fullmatch(header))
            try:
                etags.check_version(None, None)
            except Malformed:
                assert not is_list
            except Exception:  # it would read the version of a resource
                assert is_list
            else:
                assert header == "*"

    holds()


def test_any_preference_is_a_wait_of_up_to_thirty_seconds_or_ignored(bare: Flask) -> None:
    @given(HEADERS | st.from_regex(r'(respond-async, ?)?wait ?= ?"?\d{1,12}"?;?.{0,3}'))
    @example("wait=" + "9" * 5000)
    def holds(header: str) -> None:
        header = header.replace("\r", "").replace("\n", "")
        with bare.test_request_context(headers={"Prefer": header}):
            seconds = prefer_wait._preferred_seconds()
        assert seconds is None or 0 <= seconds <= prefer_wait.LONGEST_WAIT

    holds()


def test_any_idempotency_key_is_printable_or_refused(bare: Flask) -> None:
    @given(HEADERS | st.text("k \t\x7f", min_size=250, max_size=260))
    def holds(header: str) -> None:
        with bare.test_request_context(headers={"Idempotency-Key": header}):
            try:
                key = idempotency._requested_key()
            except Malformed:
                assert not header or len(header) > 255 or not header.isprintable()
            else:
                assert key == header
                assert 1 <= len(key) <= 255

    holds()


def test_any_accepted_media_types_are_read(bare: Flask) -> None:
    @given(HEADERS | st.text("*/;q=0.1, text", max_size=30))
    def holds(header: str) -> None:
        with bare.test_request_context(headers={"Accept": header}):
            assert all(";" not in value for value, _ in accepted_media_types())

    holds()


def test_a_cursor_is_valid_only_for_its_list_with_its_filters(bare: Flask) -> None:
    @given(st.text(), st.text(), st.text(max_size=5), st.text(max_size=5))
    def holds(key: str, other: str, one: str, another: str) -> None:
        with bare.test_request_context("/v1/makes"):
            serializer = pagination._serializer({"name": one, "limit": 1, "cursor": None})
            cursor = serializer.dumps(key)
            same = pagination._serializer({"limit": 50, "cursor": cursor, "name": one})
            assert pagination._load(same, cursor) == key
            wrong = [pagination._serializer({"name": another})] if one != another else []
            with bare.test_request_context("/v1/models"):
                wrong.append(pagination._serializer({"name": one}))
            for each in wrong:
                with pytest.raises(Invalid):
                    pagination._load(each, cursor)
            if other != cursor:
                with pytest.raises(Invalid):
                    pagination._load(serializer, other)

    holds()


def test_a_form_of_oauth_has_no_parameter_twice_and_none_without_a_value(bare: Flask) -> None:
    names = st.sampled_from(["client_id", "grant_type", "scope", "redirect_uri"]) | st.text()

    @given(st.lists(st.tuples(names, st.text('a" \\é', max_size=4)), max_size=4))
    def holds(fields: list[tuple[str, str]]) -> None:
        with bare.test_request_context(method="POST", data=MultiDict(fields)):
            sent = parameters()
            assert all(value.strip() for value in sent.values())
            if find_malformed_parameter() is None:
                assert len(sent) == len(list(sent.items(multi=True)))
                assert '"' not in sent.get("client_id", "") + sent.get("redirect_uri", "")

    holds()


@given(st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"a": 1, "a": 2}')
@example(b"9" * 5000)
def test_any_body_is_json_or_malformed(body: bytes) -> None:
    try:
        value = parsing.parse_json(body)
    except Malformed:
        return
    assert json.loads(json.dumps(value)) == value or "NaN" in json.dumps(value)


@given(JSON_VALUES)
@example(2**53 + 1)  # no float has this value
def test_all_json_is_parsed_as_it_is(value: Any) -> None:
    assert parsing.parse_json(json.dumps(value).encode()) == value


@given(st.datetimes(timezones=st.timezones() | st.just(UTC)))
def test_a_time_is_read_as_it_was_written(moment: datetime) -> None:
    try:
        text = rfc3339(moment)
    except OverflowError:  # in year 0 or 10000 in UTC
        return
    read = UtcTime().deserialize(text)
    # Python never finds a time equal that clocks skipped or showed twice, unless it is in UTC.
    assert (read, rfc3339(read)) == (moment.astimezone(UTC), text)


@given(st.text() | st.from_regex(r"\d{4}-[01]\d-[0-3]\d[Tt ][0-2]\d:[0-6]\d:[0-6]\d\S{0,8}"))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        read = UtcTime().deserialize(text)
    except ValidationError:
        return
    assert read.tzinfo is UTC
    assert UtcTime().deserialize(rfc3339(read)) == read


@pytest.mark.parametrize("field", [EmailAddress(), PhoneNumber(max_length=50)])
def test_what_a_field_has_read_it_reads_again(field: Any) -> None:
    @given(st.text() | st.emails() | st.from_regex(r"[^@]{1,9}@[a-zß-ž0-9.-]{1,9}\.[a-z]{2,3}"))
    def holds(text: str) -> None:
        try:
            read = field.deserialize(text)
        except ValidationError:
            return
        assert field.deserialize(read) == read

    holds()
