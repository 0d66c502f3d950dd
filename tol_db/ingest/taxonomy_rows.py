"""Rows of a taxonomy on their way into the database: staged as they come, then joined and stored by SQL.

The staged rows lie in temporary tables of SQLite, on disk: memory does not grow with the taxonomy. Taxa are
stored in the order of their keys (BINARY), whatever the order of the file.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from tol_db import progress
from tol_db.db.bulk import BATCH, changes, insert_many, query, scalar, without_indexes
from tol_db.db.engine import raw
from tol_db.errors import InputError
from tol_db.taxonomy.formats.rows import AliasRow, Finding, Row, SynonymRow, TaxonRow, VernacularRow

Ints = npt.NDArray[np.int32]

_TABLES: Final = {
    TaxonRow: ("node_row", "line INTEGER, key TEXT, parent TEXT, name TEXT, rank TEXT, flags TEXT, sources TEXT"),
    SynonymRow: ("synonym_row", "line INTEGER, key TEXT, name TEXT, kind TEXT, source TEXT"),
    VernacularRow: ("vernacular_row", "line INTEGER, key TEXT, name TEXT, language TEXT, preferred INTEGER"),
    AliasRow: ("alias_row", "line INTEGER, alias TEXT, key TEXT, kept INTEGER"),
    Finding: ("finding_row", "kind TEXT, subject TEXT, detail TEXT"),
}

_NODE: Final = """
CREATE TEMP TABLE node (
    id INTEGER PRIMARY KEY, key TEXT, parent TEXT, name TEXT, rank TEXT, flags TEXT, sources TEXT, line INTEGER)"""

_SORT_ALL: Final = """
INSERT INTO temp.node (key, parent, name, rank, flags, sources, line)
SELECT key, parent, name, rank, flags, sources, line FROM temp.node_row ORDER BY key"""

_SORT_ONCE: Final = """
INSERT INTO temp.node (key, parent, name, rank, flags, sources, line)
SELECT key, parent, name, rank, flags, sources, min(line) FROM temp.node_row GROUP BY key ORDER BY key"""

_TWICE: Final = """
SELECT key, min(line), max(line), count(*),
       count(DISTINCT coalesce(parent, '') || char(31, 31) || name || char(31) || rank || char(31) || flags
                      || char(31) || sources) > 1
FROM temp.node_row GROUP BY key HAVING count(*) > 1 ORDER BY key"""

_REDIRECT: Final = """
CREATE TEMP TABLE redirect (alias TEXT PRIMARY KEY, id INTEGER NOT NULL, kept INTEGER NOT NULL) WITHOUT ROWID"""

_AMBIGUOUS: Final = "SELECT alias FROM temp.alias_row GROUP BY alias HAVING count(DISTINCT key) > 1 ORDER BY alias"

_TAXON: Final = """
INSERT INTO taxon (id, taxonomy_id, source_key, parent_id, scientific_name, rank, flags)
SELECT n.id + ?1, ?2, n.key, nullif(coalesce(p.id, r.id), n.id) + ?1, n.name, n.rank, n.flags
FROM temp.node n
LEFT JOIN temp.node p ON p.key = n.parent
LEFT JOIN temp.redirect r ON p.id IS NULL AND r.alias = n.parent
ORDER BY n.id"""

# {0}: the staged rows of names
_OF_TAXON: Final = """
FROM temp.{0} y
LEFT JOIN temp.node n ON n.key = y.key
LEFT JOIN temp.redirect r ON n.id IS NULL AND r.alias = y.key AND r.kept = 1"""

_SYNONYM: Final = f"""
INSERT INTO synonym (taxon_id, name, kind, source)
SELECT coalesce(n.id, r.id) + ?1 AS taxon, y.name, y.kind, min(y.source) {_OF_TAXON.format("synonym_row")}
WHERE taxon IS NOT NULL GROUP BY taxon, y.name, y.kind"""

_VERNACULAR: Final = f"""
INSERT INTO vernacular_name (taxon_id, name, language, preferred)
SELECT coalesce(n.id, r.id) + ?1 AS taxon, y.name, y.language, max(y.preferred) {_OF_TAXON.format("vernacular_row")}
WHERE taxon IS NOT NULL GROUP BY taxon, y.name, y.language"""

_DANGLING: Final = f"""
INSERT INTO temp.finding_row
SELECT ?1, y.name, 'of ' || y.key || ', which is not there (line ' || y.line || ')' {_OF_TAXON}
WHERE n.id IS NULL AND r.id IS NULL ORDER BY y.name, y.key"""

_ALIAS: Final = """
INSERT INTO taxon_alias (taxonomy_id, alias, source_key)
SELECT ?, r.alias, n.key FROM temp.redirect r JOIN temp.node n ON n.id = r.id WHERE r.kept = 1 ORDER BY r.alias"""

_FINDING: Final = """
INSERT INTO taxonomy_finding (taxonomy_id, kind, subject, detail)
SELECT ?, kind, subject, detail FROM temp.finding_row ORDER BY kind, rowid"""


def stage(conn: sa.Connection, rows: Iterable[Row]) -> None:
    """Fill temporary tables with the rows, as they come."""
    driver = raw(conn)
    for name, columns in _TABLES.values():
        driver.execute(f"CREATE TEMP TABLE {name} ({columns})")
    inserts = {
        kind: f"INSERT INTO temp.{name} VALUES ({', '.join('?' * (columns.count(',') + 1))})"  # noqa: S608
        for kind, (name, columns) in _TABLES.items()
    }
    waiting: dict[type[Row], list[Row]] = defaultdict(list)
    for row in rows:
        kind = type(row)
        batch = waiting[kind]
        batch.append(row)
        if len(batch) >= BATCH:
            driver.executemany(inserts[kind], batch)
            batch.clear()
    for kind, batch in waiting.items():
        driver.executemany(inserts[kind], batch)


def add_findings(conn: sa.Connection, findings: Iterable[Finding]) -> None:
    """Stage findings that were made by the way."""
    insert_many(conn, "INSERT INTO temp.finding_row VALUES (?, ?, ?)", findings)


def count(conn: sa.Connection, kind: type[Row]) -> int:
    """How many rows of a kind are staged."""
    found: int = scalar(conn, f"SELECT count(*) FROM temp.{_TABLES[kind][0]}")  # noqa: S608
    return found


def arrange(conn: sa.Connection, where: str) -> None:
    """Number the taxa in the order of their keys, and find out what each other id stands for.

    Raises:
        InputError: an id stands twice with different content.
    """
    changes(conn, _NODE)
    changes(conn, _SORT_ALL)
    try:
        changes(conn, "CREATE UNIQUE INDEX temp.node_key ON node (key)")
    except sqlite3.IntegrityError:
        _require_agreement(conn, where)
        changes(conn, "DELETE FROM temp.node")
        changes(conn, _SORT_ONCE)
        changes(conn, "CREATE UNIQUE INDEX temp.node_key ON node (key)")
    changes(conn, "DROP TABLE temp.node_row")
    changes(conn, _REDIRECT)
    if count(conn, AliasRow):
        _redirect(conn)


def _require_agreement(conn: sa.Connection, where: str) -> None:
    twice = list(query(conn, _TWICE))
    differ = [f"{key} (lines {first} and {last})" for key, first, last, _, differs in twice if differs]
    if differ:
        more = f" and {len(differ) - 5:,} more" if len(differ) > 5 else ""
        raise InputError(
            f"{where}: an id stands twice with different content: {', '.join(differ[:5])}{more}",
            hint="leave the right row of each in the file; nothing was ingested",
        )
    add_findings(
        conn,
        (
            Finding("duplicate_key", key, f"{n} equal rows (lines {a} to {b}): kept once")
            for key, a, b, n, _ in twice
        ),
    )


def _redirect(conn: sa.Connection) -> None:
    ambiguous = [alias for (alias,) in query(conn, _AMBIGUOUS)]
    insert_many(
        conn, "INSERT INTO temp.finding_row VALUES ('ambiguous_alias', ?, 'of several taxa')", zip(ambiguous)
    )
    changes(
        conn,
        """INSERT INTO temp.finding_row
           SELECT 'alias_is_taxon', a.alias, 'said to be another id of ' || a.key || ' (line ' || a.line || ')'
           FROM temp.alias_row a JOIN temp.node n ON n.key = a.alias ORDER BY a.alias""",
    )
    changes(conn, "CREATE TEMP TABLE unused_alias (alias TEXT PRIMARY KEY) WITHOUT ROWID")
    insert_many(conn, "INSERT INTO temp.unused_alias VALUES (?)", zip(ambiguous))
    changes(
        conn,
        """INSERT OR IGNORE INTO temp.unused_alias
           SELECT a.alias FROM temp.alias_row a JOIN temp.node n ON n.key = a.alias""",
    )
    enter = """
        INSERT OR IGNORE INTO temp.redirect
        SELECT a.alias, {0} FROM temp.alias_row a JOIN {1}
        WHERE NOT EXISTS (SELECT 1 FROM temp.unused_alias u WHERE u.alias = a.alias) ORDER BY a.alias"""
    found = changes(conn, enter.format("n.id, a.kept", "temp.node n ON n.key = a.key"))
    while found > 0:  # an id that stands for one that stands for another
        found = changes(conn, enter.format("r.id, min(a.kept, r.kept)", "temp.redirect r ON r.alias = a.key"))
    changes(
        conn,
        """INSERT INTO temp.finding_row
           SELECT 'dangling_alias', a.alias, 'for ' || a.key || ', which is not there (line ' || a.line || ')'
           FROM temp.alias_row a
           WHERE a.kept AND NOT EXISTS (SELECT 1 FROM temp.redirect r WHERE r.alias = a.alias)
             AND NOT EXISTS (SELECT 1 FROM temp.unused_alias u WHERE u.alias = a.alias) ORDER BY a.alias""",
    )
    changes(
        conn,
        """INSERT INTO temp.finding_row
           SELECT 'parent_is_alias', n.key, 'its parent ' || n.parent || ' is no taxon, but stands for one'
           FROM temp.node n JOIN temp.redirect r ON r.alias = n.parent WHERE r.kept ORDER BY n.id""",
    )


def store(conn: sa.Connection, taxonomy_id: int, where: str) -> tuple[int, int]:
    """Enter what is staged; within a write transaction.

    Returns:
        How many taxa, and how many of them without children.

    Raises:
        InputError: parents that go round in a circle.
    """
    nodes: int = scalar(conn, "SELECT count(*) FROM temp.node")
    first = scalar(conn, "SELECT coalesce(max(id), 0) FROM taxon")
    with progress.track("storing the taxonomy", 7, "steps") as tracker:
        with without_indexes(conn, "taxon", nodes):
            changes(conn, _TAXON, (first, taxonomy_id))
            tracker.advance()
            parents = _parents(conn, first, nodes)
            _require_no_cycle(conn, parents, where)
            _find_roots(conn, parents)
            tracker.advance()
        tracker.advance()
        for sql, kind, table in (
            (_SYNONYM, SynonymRow, "synonym"),
            (_VERNACULAR, VernacularRow, "vernacular_name"),
        ):
            rows = count(conn, kind)
            if rows:
                with without_indexes(conn, table, rows):
                    lost = rows - changes(conn, sql, (first,))
                if lost:
                    _find_lost(conn, kind, table.removesuffix("_name"), lost)
            tracker.advance()
        changes(conn, _ALIAS, (taxonomy_id,))
        insert_many(conn, "INSERT INTO taxon_source_id VALUES (?, ?, ?)", list(_source_ids(conn, first)))
        tracker.advance()
        changes(conn, _FINDING, (taxonomy_id,))
        tracker.advance()
    tips = int(nodes - np.unique(parents[parents > 0]).size)
    return nodes, tips


def _parents(conn: sa.Connection, first: int, nodes: int) -> Ints:
    """Number of each taxon's parent, both from 1; 0 for a root, and for the number 0."""
    sql = "SELECT coalesce(parent_id - ?1, 0) FROM taxon WHERE id > ?1 ORDER BY id"
    parents = np.zeros(nodes + 1, np.int32)
    parents[1:] = np.fromiter((up for (up,) in query(conn, sql, (first,))), np.int32, nodes)
    return parents


def _require_no_cycle(conn: sa.Connection, parents: Ints, where: str) -> None:
    ancestors = parents
    for _ in range(len(parents).bit_length() + 1):  # 1, 2, 4, … steps up
        if not ancestors.any():
            return
        ancestors = ancestors[ancestors]
    at = int(ancestors[ancestors > 0].min())
    members = [at]
    while (up := int(parents[members[-1]])) != at:
        members.append(up)
    keys = [_node(conn, number)[0] for number in members[:10]]
    more = f" … ({len(members):,} in all)" if len(members) > len(keys) else f" → {keys[0]}"
    raise InputError(
        f"{where}: parents go round in a circle: {' → '.join(keys)}{more}",
        hint="mend the parent of one of them; nothing was ingested",
    )


def _find_roots(conn: sa.Connection, parents: Ints) -> None:
    roots = np.flatnonzero(parents[1:] == 0) + 1
    findings = []
    for number in roots.tolist():
        key, parent, name, line = _node(conn, number)
        if parent is None:
            continue
        if parent == key:
            findings.append(Finding("self_parent", key, f"{name} is its own parent: a root (line {line})"))
        else:
            why = f"{name}: its parent {parent} is not there: a root (line {line})"
            findings.append(Finding("orphan", key, why))
    if len(roots) > 1:
        shown = ", ".join(_node(conn, number)[2] for number in roots[:5].tolist())
        findings.append(
            Finding("several_roots", f"{len(roots):,} roots", shown + (", …" if len(roots) > 5 else ""))
        )
    add_findings(conn, findings)


def _node(conn: sa.Connection, number: int) -> tuple[Any, ...]:
    return next(query(conn, "SELECT key, parent, name, line FROM temp.node WHERE id = ?", (number,)))


def _find_lost(conn: sa.Connection, kind: type[Row], what: str, lost: int) -> None:
    """Tell which names belong to no taxon, and how many stood twice."""
    lost -= changes(conn, _DANGLING.format(_TABLES[kind][0]), (f"dangling_{what}",))
    if lost:
        add_findings(conn, [Finding(f"duplicate_{what}", f"{lost:,} rows", "kept once")])


def _source_ids(conn: sa.Connection, first: int) -> Iterator[tuple[int, int, str]]:
    for number, sources in query(conn, "SELECT id, sources FROM temp.node WHERE sources <> '' ORDER BY id"):
        ids = dict.fromkeys(text.strip() for text in sources.split(","))
        ids.pop("", None)
        for ordinal, source_id in enumerate(ids):
            yield number + first, ordinal, source_id
