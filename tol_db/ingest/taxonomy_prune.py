"""Remove versions of taxonomies that are not used any more."""

from __future__ import annotations

import sqlalchemy as sa

from tol_db.blacklist_names import refresh_blacklist_names
from tol_db.db.bulk import query
from tol_db.db.engine import Database, entering
from tol_db.errors import UsageError
from tol_db.taxonomy.prune import prune
from tol_db.taxonomy.store import find, stored


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
                prune(conn, version)
                lines.append(f"{taxonomy}: removed, {taxonomy.taxa:,} taxa")
        if any("removed" in line for line in lines):
            refresh_blacklist_names(conn)
    return lines or [f"{name}: nothing to remove"]


def _users(conn: sa.Connection, taxonomy_id: int) -> list[str]:
    sql = """SELECT DISTINCT t.name || '@' || t.version
             FROM taxonomy_input i JOIN taxonomy t ON t.id = i.taxonomy_id
             WHERE i.input_id = ? ORDER BY t.id DESC"""
    return [name for (name,) in query(conn, sql, (taxonomy_id,))]
