"""Normalization of text: one form to store it in, one to compare it by."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress

import idna

# Control characters, and surrogates, which no database can encode.
_UNPRINTABLE = {"Cc", "Cs"}
_INVISIBLE = {"Cc", "Cf", "Zs", "Zl", "Zp"}
# Default_Ignorable_Code_Point (without category Cf), and the braille blank.
_INVISIBLE_RANGES = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2065, 0x2065),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),
)

# The apostrophes and primes that people and programs type.
APOSTROPHES = (
    "'`\u00b4\u02b9\u02ba\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\u055a\u05f3"
    "\u2018\u2019\u201a\u201b\u2032\u2035\ua78b\ua78c\uff07"
)
_WITH_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))

# Escape sequences, line breaks and marks of direction can forge lines and control terminals.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_CONTROLS_IN_LINES = re.compile(f"(?![\\t\\n]){_CONTROLS.pattern}")


def escape_controls(text: str, *, keep_lines: bool = False) -> str:
    """Return `text` with `\\u202e` in place of such a character, for terminals and logs.

    Line feeds and tabs stay as they are if `keep_lines`.
    """
    controls = _CONTROLS_IN_LINES if keep_lines else _CONTROLS
    return controls.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def has_control_characters(text: str) -> bool:
    """Return whether `text` has control characters or surrogates."""
    return any(unicodedata.category(character) in _UNPRINTABLE for character in text)


def is_invisible(character: str) -> bool:
    """Return whether a character is a blank, a control or a format character, or ignorable."""
    if unicodedata.category(character) in _INVISIBLE:
        return True
    return any(first <= ord(character) <= last for first, last in _INVISIBLE_RANGES)


def trim(text: str) -> str:
    """Return `text` without invisible characters at its ends."""
    start, end = 0, len(text)
    while start < end and is_invisible(text[start]):
        start += 1
    while start < end and is_invisible(text[end - 1]):
        end -= 1
    return text[start:end]


def clean(text: str) -> str:
    """Return `text` trimmed and in NFC, the form that is stored. Raises `ValueError` if it has
    control characters."""
    trimmed = trim(text)
    if has_control_characters(trimmed):
        raise ValueError("Control characters are not allowed.")
    return unicodedata.normalize("NFC", trimmed)


def casefold_key(text: str) -> str:
    """Return the form in which texts are compared: Unicode's caseless matching (§3.13, D145)."""
    decomposed = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", decomposed)


def name_key(name: str) -> str:
    """Return the form in which names of makes and models are compared: in any case, with any kind
    of apostrophe and any number and kind of spaces."""
    return " ".join(casefold_key(name).translate(_WITH_ONE_APOSTROPHE).split())


def email_key(address: str) -> str:
    """Return the form in which e-mail addresses are compared: in any case, with the ASCII form of
    the domain (RFC 5891)."""
    local, at, domain = address.rpartition("@")
    if not domain.isascii():
        with suppress(ValueError):  # another release may have accepted and stored it
            domain = domain_in_ascii(domain)
    return casefold_key(local + at + domain)


def domain_in_ascii(domain: str) -> str:
    """Return the ASCII form of a domain. Raises `ValueError` if IDNA 2008 does not allow it."""
    return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
