"""Remove versions of taxonomies that are not used any more."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from tol_db.blacklist_names import refresh_blacklist_names
from tol_db.db.bulk import changes, query
from tol_db.db.engine import Database, entering
from tol_db.errors import UsageError
from tol_db.taxonomy.store import Stored, find, stored

# in this order no row refers to one that is gone; the bounds of a taxonomy serve all of them
_OF_TAXA: Final = (
    "DELETE FROM taxon_provenance WHERE taxon_id BETWEEN ? AND ?",
    "DELETE FROM taxon_source_id WHERE taxon_id BETWEEN ? AND ?",
    "DELETE FROM vernacular_name WHERE taxon_id BETWEEN ? AND ?",
    "DELETE FROM synonym WHERE taxon_id BETWEEN ? AND ?",
    "DELETE FROM blacklist_taxon WHERE taxon_id BETWEEN ? AND ?",
    "UPDATE label SET taxon_id = NULL WHERE taxon_id BETWEEN ? AND ?",
    "DELETE FROM taxon WHERE id BETWEEN ? AND ?",
)
_OF_TAXONOMY: Final = (
    "DELETE FROM label_resolution WHERE taxonomy_id = ?",
    "DELETE FROM taxon_decision WHERE taxonomy_id = ?",
    "DELETE FROM taxonomy_finding WHERE taxonomy_id = ?",
    "DELETE FROM taxon_alias WHERE taxonomy_id = ?",
    "DELETE FROM taxonomy_input WHERE taxonomy_id = ?",
    "DELETE FROM taxonomy WHERE id = ?",
)


def prune_versions(db: Database, name: str, keep: int) -> list[str]:
    """Remove old versions of a taxonomy.

    Args:
        name: ``NAME``: all but the newest ``keep`` versions; ``NAME@VERSION``: that one alone.

    Returns:
        Lines that say what was removed, and what stays because an assembled taxonomy was made of it.

    Raises:
        UsageError: no such taxonomy, or the one version that was named is in use.
    """
    lines = []
    with db.staging() as conn, entering(conn):
        one = find(conn, name)
        sql = "SELECT id FROM taxonomy WHERE name = ? AND kind = ? ORDER BY id DESC"
        versions = [one.id] if "@" in name else [i for (i,) in query(conn, sql, (one.name, one.kind))][keep:]
        for version in versions:
            taxonomy = stored(conn, version)
            users = _users(conn, version)
            if users and "@" in name:
                raise UsageError(
                    f"{taxonomy} is part of {', '.join(users)}", hint=f"tol-db taxonomy prune {users[0]}"
                )
            if users:
                lines.append(f"{taxonomy}: stays, {', '.join(users)} was made of it")
            else:
                _remove(conn, taxonomy)
                lines.append(f"{taxonomy}: removed, {taxonomy.taxa:,} taxa")
        if any("removed" in line for line in lines):
            refresh_blacklist_names(conn)
    return lines or [f"{name}: nothing to remove"]


def _users(conn: sa.Connection, taxonomy_id: int) -> list[str]:
    sql = """SELECT DISTINCT t.name || '@' || t.version
             FROM taxonomy_input i JOIN taxonomy t ON t.id = i.taxonomy_id
             WHERE i.input_id = ? ORDER BY t.id DESC"""
    return [name for (name,) in query(conn, sql, (taxonomy_id,))]


def _remove(conn: sa.Connection, taxonomy: Stored) -> None:
    for sql in _OF_TAXA:
        changes(conn, sql, (taxonomy.first, taxonomy.last))
    for sql in _OF_TAXONOMY:
        changes(conn, sql, (taxonomy.id,))
