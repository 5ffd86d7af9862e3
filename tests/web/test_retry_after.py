"""`Retry-After` in both of its formats, and malformed."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automart.web.retry_after import parse_retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 0 ", 0),
        ("-5", 0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0),
        ("", None),
        ("soon", None),
        ("1.5", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("9" * 5000, None),
        ("120, 120", None),
        ("٣", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
    ],
)
def test_both_formats_are_read_and_others_are_ignored(
    header: str | None, seconds: float | None
) -> None:
    now = dt.datetime(1994, 11, 6, 8, 49, 37, tzinfo=dt.UTC)

    assert parse_retry_after(header, now.timestamp()) == seconds


@given(
    st.text(alphabet=st.characters(max_codepoint=255)) | st.from_regex(r"[ A-Za-z0-9:,+-]{0,60}")
)
def test_extreme_values_are_accepted(header: str) -> None:
    seconds = parse_retry_after(header, time.time())

    assert seconds is None or seconds >= 0
