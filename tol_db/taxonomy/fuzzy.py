"""Names of a taxonomy that are spelt much like a given one: suggestions for people, never answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query
from tol_db.errors import UsageError
from tol_db.taxonomy.lookup import TaxonomyRef
from tol_db.taxonomy.name_forms import canonical, tidy

PREFIX: Final = 3
"""Letters at the start that have to be right: what the index can find."""

MOST: Final = 100_000
"""Names with one start that are compared; more would take seconds."""

LEAST: Final = 85.0
"""Similarity, per cent, from which a name is suggested: one wrong letter in seven."""

SHOWN: Final = 3

# both indexes hold the rowid; of synonyms the row is read for its taxon
_ACCEPTED: Final = """
SELECT scientific_name FROM taxon INDEXED BY ix_taxon_scientific_name
WHERE scientific_name >= ? AND scientific_name < ? AND id BETWEEN ? AND ? LIMIT ?"""

_SYNONYMS: Final = """
SELECT name FROM synonym INDEXED BY ix_synonym_name
WHERE name >= ? AND name < ? AND taxon_id BETWEEN ? AND ? LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A name that is spelt much alike; similarity in per cent."""

    name: str
    similarity: float


def suggester(conn: sa.Connection, taxonomy: TaxonomyRef) -> Callable[[str], tuple[Suggestion, ...]]:
    """A function from a name to the names of a taxonomy that are spelt most like it.

    Raises:
        UsageError: the extra ``fuzzy`` is not installed.
    """
    try:
        from rapidfuzz import fuzz, process
    except ImportError:
        raise UsageError("--fuzzy needs rapidfuzz", hint="pip install 'tol-db[fuzzy]'") from None

    def suggest(text: str) -> tuple[Suggestion, ...]:
        parsed = canonical(text)
        name = str(parsed) if parsed is not None else tidy(text)
        start = name[:PREFIX]
        if len(start) < PREFIX:
            return ()
        limits = (start, start[:-1] + chr(ord(start[-1]) + 1), taxonomy.first, taxonomy.last, MOST)
        names = {row[0] for sql in (_ACCEPTED, _SYNONYMS) for row in query(conn, sql, limits)}
        found = process.extract(name, sorted(names), scorer=fuzz.ratio, score_cutoff=LEAST, limit=SHOWN)
        return tuple(Suggestion(name, round(score, 1)) for name, score, _ in found)

    return suggest
