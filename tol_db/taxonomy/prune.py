"""Remove a taxonomy from the database."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tol_db.db.bulk import changes, query, scalar
from tol_db.errors import UsageError


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
        conn: a write transaction.

    Raises:
        UsageError: no such taxonomy; an assembled one was made of it; labels name its taxa.
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
        labels = scalar(conn, "SELECT count(*) FROM label WHERE taxon_id BETWEEN ? AND ?", span)
        if labels:
            raise UsageError(
                f"{name} {version}: {labels:,} labels name its taxa", hint="label the images by another one first"
            )
        changes(conn, "DELETE FROM taxon_decision WHERE taxonomy_id = ?", (taxonomy_id,))
        for table in ("taxon_provenance", "taxon_source_id", "synonym", "vernacular_name"):
            changes(conn, f"DELETE FROM {table} WHERE taxon_id BETWEEN ? AND ?", span)  # noqa: S608
        taxa = changes(conn, "DELETE FROM taxon WHERE id BETWEEN ? AND ?", span)
    # aliases, findings and inputs go with it
    changes(conn, "DELETE FROM taxonomy WHERE id = ?", (taxonomy_id,))
    return Pruned(name, version, taxa)
