"""Common names of taxa, the best one of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query

_AT_A_TIME: Final = 500

# an assembled taxon's own names come first, then those of the taxa that it was made of, in order of priority
_NAMES: Final = """
SELECT v.taxon_id, v.language, v.preferred, -1, v.id, v.name FROM vernacular_name v WHERE v.taxon_id IN ({marks})
UNION ALL
SELECT p.taxon_id, v.language, v.preferred, p.ordinal, v.id, v.name
FROM taxon_provenance p JOIN vernacular_name v ON v.taxon_id = p.source_taxon_id WHERE p.taxon_id IN ({marks})"""

_THREE_LETTERS: Final = {
    "eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es", "por": "pt", "ita": "it",
    "nld": "nl", "dut": "nl", "rus": "ru", "jpn": "ja", "zho": "zh", "chi": "zh", "kor": "ko", "pol": "pl",
    "swe": "sv", "nor": "no", "dan": "da", "fin": "fi", "ces": "cs", "cze": "cs", "hun": "hu", "tur": "tr",
    "ara": "ar", "ukr": "uk", "ell": "el", "gre": "el", "cat": "ca", "hrv": "hr", "afr": "af", "tha": "th",
}  # fmt: skip
"""ISO 639-2 and 639-3 codes → 639-1, for sources that write the long ones."""


def language_code(text: str) -> str:
    """A language in one spelling: ``eng``, ``EN`` and ``en-GB`` are ``en``."""
    code = text.strip().lower().replace("_", "-").partition("-")[0]
    return _THREE_LETTERS.get(code, code)


def vernaculars_of(conn: sa.Connection, taxa: Iterable[int], languages: Sequence[str]) -> dict[int, str]:
    """Taxon id → its best common name.

    The first of the languages that it has a name in; there the preferred names before others, its own before
    those of its sources, then the one that was stored first.
    """
    order = {language_code(language): place for place, language in reversed(list(enumerate(languages)))}
    best: dict[int, tuple[tuple[int, bool, int, int], str]] = {}
    ids = sorted(set(taxa))
    for start in range(0, len(ids), _AT_A_TIME // 2):
        some = ids[start : start + _AT_A_TIME // 2]
        statement = _NAMES.format(marks=", ".join("?" * len(some)))
        for taxon, language, preferred, ordinal, id, name in query(conn, statement, (*some, *some)):
            place = order.get(language_code(language))
            if place is None or not name.strip():
                continue
            key = (place, not preferred, ordinal, id)
            if taxon not in best or key < best[taxon][0]:
                best[taxon] = (key, name)
    return {taxon: name for taxon, (_, name) in best.items()}
