"""Names that tell homonyms apart: ``Fritillaria (genus in family Liliaceae)``."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query
from tol_db.taxonomy.ranks import NO_RANK
from tol_db.taxonomy.store import Stored

# one pass over the taxonomy; only names that stand twice are kept
_HOMONYMS: Final = """
WITH twice (name) AS (
    SELECT scientific_name FROM taxon WHERE id BETWEEN ?1 AND ?2 GROUP BY scientific_name HAVING count(*) > 1)
SELECT t.scientific_name, t.id, t.rank FROM twice JOIN taxon t ON t.scientific_name = twice.name
WHERE t.id BETWEEN ?1 AND ?2 ORDER BY t.scientific_name, t.id"""

_ANCESTORS: Final = """
WITH RECURSIVE up (id, depth) AS (
    SELECT parent_id, 1 FROM taxon WHERE id = ?1
    UNION ALL SELECT t.parent_id, up.depth + 1 FROM up JOIN taxon t ON t.id = up.id WHERE up.id IS NOT NULL)
SELECT t.rank, t.scientific_name FROM up JOIN taxon t ON t.id = up.id ORDER BY up.depth"""


class Homonyms:
    """The homonyms of a taxonomy, and what each is called where that matters."""

    def __init__(self, conn: sa.Connection, taxonomy: Stored) -> None:
        self._names: dict[int, str] = {}
        self.groups: dict[str, list[int]] = {}
        groups: dict[str, list[tuple[int, str]]] = {}
        for name, taxon, rank in query(conn, _HOMONYMS, (taxonomy.first, taxonomy.last)):
            groups.setdefault(name, []).append((taxon, rank))
        for name, members in groups.items():
            self.groups[name] = [taxon for taxon, _ in members]
            self._tell_apart(conn, name, members)

    def uniqname(self, taxon: int) -> str:
        """``Name (rank in rank Ancestor)``, or "" for a taxon whose name nobody else bears."""
        return self._names.get(taxon, "")

    def _tell_apart(self, conn: sa.Connection, name: str, members: list[tuple[int, str]]) -> None:
        """By the nearest ancestor with a rank by which all differ; by the nearest one where none does."""
        choices = []
        for taxon, rank in members:
            above = [(r, n) for r, n in query(conn, _ANCESTORS, (taxon,)) if r != NO_RANK] or [(NO_RANK, "life")]
            choices.append([f"{name} ({rank} in {r} {n})" for r, n in above])
        longest = max(map(len, choices))
        for level in range(longest):
            shown = [each[min(level, len(each) - 1)] for each in choices]
            if len(set(shown)) == len(shown):
                break
        else:
            shown = [each[0] for each in choices]
        self._names.update(zip((taxon for taxon, _ in members), shown, strict=True))
