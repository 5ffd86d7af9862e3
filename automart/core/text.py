"""Normalization of text: one form to store it in, one to compare it by."""

from __future__ import annotations

import unicodedata

# Control characters, and surrogates, which no database can encode.
_UNPRINTABLE = {"Cc", "Cs"}


def has_control_characters(text: str) -> bool:
    """Return whether `text` has control characters or surrogates."""
    return any(unicodedata.category(character) in _UNPRINTABLE for character in text)


def clean(text: str) -> str:
    """Return `text` trimmed and in NFC, the form that is stored. Raises `ValueError` if it has
    control characters."""
    trimmed = text.strip()
    if has_control_characters(trimmed):
        raise ValueError("Control characters are not allowed.")
    return unicodedata.normalize("NFC", trimmed)


def casefold_key(text: str) -> str:
    """Return the form in which texts are compared: Unicode's caseless matching (§3.13, D145)."""
    decomposed = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", decomposed)
