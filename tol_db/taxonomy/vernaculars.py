"""Common names of taxa, the best one of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query
from tol_db.taxonomy.languages import language_code

_AT_A_TIME: Final = 500

# an assembled taxon's own names come first, then those of the taxa that it was made of, in order of priority
_NAMES: Final = """
SELECT v.taxon_id, v.language, v.preferred, -1, v.id, v.name FROM vernacular_name v WHERE v.taxon_id IN ({marks})
UNION ALL
SELECT p.taxon_id, v.language, v.preferred, p.ordinal, v.id, v.name
FROM taxon_provenance p JOIN vernacular_name v ON v.taxon_id = p.source_taxon_id WHERE p.taxon_id IN ({marks})"""


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
