"""Remove a taxonomy from the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import changes, query
from tol_db.errors import UsageError

_REFERRING: Final = (
    "UPDATE label SET taxon_id = NULL WHERE taxon_id BETWEEN ? AND ?",
    "DELETE FROM blacklist_taxon WHERE taxon_id BETWEEN ? AND ?",
    "DELETE FROM taxon_decision WHERE taxon_id BETWEEN ? AND ?",
)
"""What points to taxa from outside. A label is what it says; only that it came from this taxon is forgotten."""

_OF_TAXONOMY: Final = ("label_resolution", "taxon_decision", "taxonomy_finding", "taxon_alias", "taxonomy_input")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is gone."""

    name: str
    version: str
    taxa: int


def prune(conn: sa.Connection, taxonomy_id: int) -> Pruned:
    """Remove a taxonomy, a source's or an assembled one, with all that belongs to it.

    Its taxa have contiguous ids: each table loses one range. Files that were read stay in the register.

    Args:
        conn: a write transaction; without checks of foreign keys (:meth:`tol_db.db.engine.Database.staging`) where
            the taxonomy is large.

    Raises:
        UsageError: no such taxonomy; an assembled one was made of it.
    """
    found = next(query(conn, "SELECT name, version FROM taxonomy WHERE id = ?", (taxonomy_id,)), None)
    if found is None:
        raise UsageError(f"no taxonomy {taxonomy_id}")
    name, version = found
    made_of_it = """
        SELECT DISTINCT t.name || ' ' || t.version FROM taxonomy_input i JOIN taxonomy t ON t.id = i.taxonomy_id
        WHERE i.input_id = ? ORDER BY 1"""
    users = [user for (user,) in query(conn, made_of_it, (taxonomy_id,))]
    if users:
        raise UsageError(
            f"{name} {version}: {', '.join(users)} was made of it", hint="prune what was made of it as well, first"
        )
    first, last = next(query(conn, "SELECT min(id), max(id) FROM taxon WHERE taxonomy_id = ?", (taxonomy_id,)))
    taxa = 0
    if first is not None:
        span = (first, last)
        for sql in _REFERRING:
            changes(conn, sql, span)
        for table in ("taxon_provenance", "taxon_source_id", "synonym", "vernacular_name"):
            changes(conn, f"DELETE FROM {table} WHERE taxon_id BETWEEN ? AND ?", span)  # noqa: S608
        taxa = changes(conn, "DELETE FROM taxon WHERE id BETWEEN ? AND ?", span)
    for table in _OF_TAXONOMY:
        changes(conn, f"DELETE FROM {table} WHERE taxonomy_id = ?", (taxonomy_id,))  # noqa: S608
    changes(conn, "DELETE FROM taxonomy WHERE id = ?", (taxonomy_id,))
    return Pruned(name, version, taxa)
