"""The form in which customers are searched: whatever the case and the accents."""

from __future__ import annotations

import unicodedata

# Letters that no decomposition takes apart, and the apostrophes that people and programs type.
_ALIKE = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "ŧ": "t",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{MODIFIER LETTER APOSTROPHE}": "'",
        "\N{MODIFIER LETTER TURNED COMMA}": "'",
        "\N{GRAVE ACCENT}": "'",
        "\N{ACUTE ACCENT}": "'",
    }
)
_APART = "\n"


def unaccented(text: str) -> str:
    """`text` in small letters without accents and invisible marks, every space as one.

    A part of a text is a part of its folded text too: nothing depends on what stands beside it.
    """
    folded = unicodedata.normalize("NFD", text).translate(_ALIKE).casefold()
    folded = unicodedata.normalize("NFKD", folded).casefold()
    letters = unicodedata.normalize("NFKD", folded).translate(_ALIKE)
    shown = (c for c in letters if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return " ".join("".join(shown).split())


def search_text(first_name: str, last_name: str, email: str | None) -> str:
    """What is searched of a customer. No query reaches from the name into the address."""
    return unaccented(f"{first_name} {last_name}") + _APART + unaccented(email or "")
