"""Normalization of text: doing it twice changes nothing, and what is equal stays equal."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from automart.core.text import (
    casefold_key,
    clean,
    domain_in_ascii,
    email_key,
    has_control_characters,
    is_invisible,
    name_key,
    trim,
)

# Any character, and those that normalization changes most.
DELICATE = (
    "ßA\u017f\u0391\u0390\u0130\u0131\u0149\ufb01\u1e9e\u0345\u0301\u0308\u0327\u0fb9\u1e9b\u212b\u2126\ufb2c"
    "\u00a0\u200d\u2800\u2019\u02bc' \t\n"
)
TEXTS = st.text() | st.text(DELICATE, max_size=8)


@given(TEXTS)
def test_cleaned_text_is_trimmed_composed_and_stays_as_it_is(text: str) -> None:
    if has_control_characters(trim(text)):
        with pytest.raises(ValueError, match=r"^Control characters are not allowed\.$"):
            clean(text)
        return
    cleaned = clean(text)
    assert cleaned == clean(cleaned) == unicodedata.normalize("NFC", cleaned)
    assert not has_control_characters(cleaned)
    assert not cleaned or not (is_invisible(cleaned[0]) or is_invisible(cleaned[-1]))
    assert bool(cleaned) == any(not is_invisible(character) for character in text)


@pytest.mark.parametrize("key", [casefold_key, name_key, email_key])
def test_the_key_of_a_key_is_itself(key: Callable[[str], str]) -> None:
    @given(TEXTS)
    @example("a@\u0345")
    def holds(text: str) -> None:
        assert key(key(text)) == key(text)
        assert key(unicodedata.normalize("NFD", text)) == key(text)

    holds()


def test_the_domain_of_an_address_begins_after_the_last_at_sign() -> None:
    assert email_key('"A@B"@BÜCHER.example') == '"a@b"@xn--bcher-kva.example'


def test_a_domain_has_letters_digits_and_hyphens() -> None:
    """RFC 1123, section 2.1."""
    assert domain_in_ascii("B-2.example") == "b-2.example"
    with pytest.raises(ValueError, match="_"):
        domain_in_ascii("a_b.example")


@given(TEXTS, st.sampled_from([str.upper, str.lower, str.swapcase]))
def test_texts_that_differ_in_case_have_one_key(text: str, change: Callable[[str], str]) -> None:
    # The other case of I with a dot, and of i without one, is that of another letter.
    if not set(text) & {"\u0130", "\u0131"} and change(change(text)) == text:
        assert casefold_key(change(text)) == casefold_key(text)


@given(st.text(max_size=70) | st.from_regex(r"[a-zß-ÿ.-]{1,70}", fullmatch=True))
def test_a_domain_is_ascii_or_refused(domain: str) -> None:
    with suppress(ValueError):
        encoded = domain_in_ascii(domain)
        assert encoded.isascii()
        assert domain_in_ascii(encoded) == encoded
