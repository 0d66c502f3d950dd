"""Letters without diacritics, in the two ways that taxonomies leave them out."""

from __future__ import annotations

import unicodedata
from typing import Final

_LETTERS: Final = str.maketrans(
    {
        "ø": "o",
        "Ø": "O",
        "œ": "oe",
        "Œ": "Oe",
        "ł": "l",
        "Ł": "L",
        "æ": "ae",
        "Æ": "Ae",
        "ß": "ss",
        "đ": "d",
        "ð": "d",
    }
)


def without_marks(text: str) -> str:
    """A name without diacritics: NFD, marks dropped. Letters that have no parts (ø, œ, ł) stay."""
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in parts if not unicodedata.combining(c)))


def ascii_spelling(text: str) -> str:
    """A name without diacritics, and with ø, œ, ł and their like written in ASCII."""
    return text if text.isascii() else without_marks(text).translate(_LETTERS)
