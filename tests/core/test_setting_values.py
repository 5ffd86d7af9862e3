"""Settings of any text: a value that can be used, or a refusal that does not repeat it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from automart.core import setting_values as values

PASSWORD = "hunter2hunter2"
PARTS = st.sampled_from(
    [
        *("http", "https", "redis", "rediss", "unix", "s3", "postgresql", "sqlite", "://", "/"),
        *("@", ":", "?", "#", "[", "]", "[::1]", "host", ".example", "0", "65536", "%zz", "%41"),
        *("10/second", "1 per 0 minute", ";", ",", " ", "\n", "10.0.0.0/8", "03:30"),
        *("\u2100", "\u0663", f":{PASSWORD}@"),
    ]
)
TEXTS = st.text() | st.lists(PARTS, max_size=8).map("".join)
PARSERS: list[Callable[[str], Any]] = [
    values.database_url,
    values.redis_url,
    values.web_url,
    values.pace,
    values.processes,
    values.port,
    values.time_of_day,
    values.photo_storage,
    values.rate_limits,
    values.origins,
    values.networks,
    values.yes_or_no,
    values.secret_key,
]


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
def test_any_text_is_parsed_or_refused_without_its_password(parse: Callable[[str], Any]) -> None:
    @given(TEXTS)
    @example(f"redis://:{PASSWORD}@a\u2100b")
    @example(f"postgresql://u:a@{PASSWORD}@host/d?prepare_threshold=x")
    @example(f"sqlite:////x?timeout={PASSWORD}")
    @example(f"redis://:/{PASSWORD}@host")
    @example(f"redis://:#{PASSWORD}@host")
    @example(f"redis://:x@host?db={PASSWORD}")
    @example(f"s3://:{PASSWORD}@a\u2100b")
    @example(f"postgresql://:{PASSWORD}@a:b")
    def holds(text: str) -> None:
        assert PASSWORD not in _refusal(parse, text)

    holds()


def _refusal(parse: Callable[[str], Any], text: str) -> str:
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("parse", [values.database_url, values.redis_url, values.web_url])
def test_a_parsed_url_stays_as_it_is(parse: Callable[[str], str]) -> None:
    @given(TEXTS)
    def holds(text: str) -> None:
        try:
            parsed = parse(text)
        except ValueError:
            return
        assert parse(parsed) == parsed

    holds()


@given(TEXTS | st.from_regex(r"https?://[ -~]{1,20}", fullmatch=True))
@example("http://office example")
@example("https://a\n.example")
def test_a_public_url_can_be_sent_in_headers(text: str) -> None:
    try:
        url = values.web_url(text)
    except ValueError:
        return
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert urlsplit(url).hostname


@given(TEXTS | st.from_regex(r"[0-9]{1,3} ?(/|per) ?[0-9]{0,3} ?(second|minute|day)s?"))
@example("1 per 0 minute")
@example("1/second;0/minute")
def test_a_rate_limit_allows_something_in_some_time(text: str) -> None:
    try:
        limits = values.rate_limits(text)
    except ValueError:
        return
    assert all(limit.amount >= 1 and limit.get_expiry() >= 1 for limit in limits)


def test_a_rate_limit_may_allow_a_single_request() -> None:
    assert [limit.amount for limit in values.rate_limits("1 per minute; 2 per hour")] == [1, 2]
