"""The images of a mapping into a database that has none: plain inserts with their labels, indexes at the end.

Ids follow the order of the mapping, which is that of the archives, so that a scan of one finds its rows side by
side. What this makes is what :mod:`tol_db.ingest.mapping_images` and :func:`tol_db.label.apply_labels` make of an
empty table, in half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import sqlalchemy as sa

from tol_db.db.bulk import changes, scalar, without_indexes
from tol_db.ingest.mapping_images import SourceRows, folders_of
from tol_db.ingest.mapping_tables import ID, SOURCES, Table

_EOL = f"""
INSERT INTO image (id, treeoflife_id, source_id, label_id)
SELECT m.rowid, id_blob(m.{ID}), ?, p.label_id
FROM mapping.eol m NOT INDEXED LEFT JOIN temp.page_label p ON p.page_id = m.page_id"""  # noqa: S608

# pages as numbers: a label found so costs a tenth of one found by the page as text
_PAGE_LABELS = """
INSERT INTO temp.page_label
SELECT CAST(key AS INTEGER), label_id FROM label_key
WHERE source_id = ? AND label_id IS NOT NULL AND key = CAST(CAST(key AS INTEGER) AS TEXT)"""

_EOL_KEYS = """
INSERT INTO eol_image (image_id, content_id, page_id)
SELECT m.rowid, m.content_id, m.page_id FROM mapping.eol m NOT INDEXED"""

_FILES = f"""
INSERT INTO image (treeoflife_id, source_id, container_id, member, label_id)
SELECT id_blob(m.{ID}), ?1, f.container_id, m.filename, {{label}}
FROM mapping.{{table}} m NOT INDEXED CROSS JOIN temp.folder f ON f.number = m.{{number}} AND f.name = {{name}}"""  # noqa: S608

_CLASS_LABELS = """
UPDATE temp.folder SET label_id = (
    SELECT label_id FROM label_key WHERE source_id = ? AND key = CAST(folder.number AS TEXT))"""

# 0 stands for a key without a name, which decides as well: the first of the three keys that is known
_KEYED = "(SELECT coalesce(label_id, 0) FROM label_key WHERE source_id = ?1 AND key = {0})"
_FILE = "substr(m.filename, length(rtrim(m.filename, replace(m.filename, '/', ''))) + 1)"
_BY_ID_OR_FILE = "nullif(coalesce({}, {}, {}), 0)".format(
    _KEYED.format(f"id_text(m.{ID})"),
    _KEYED.format(f"'part' || f.number || '/' || {_FILE}"),
    _KEYED.format(_FILE),
)


def is_first(conn: sa.Connection) -> bool:
    """Whether there is no image at all, and the mapping's table of EOL counts its rows from 1."""
    sql = scalar(conn, "SELECT sql FROM mapping.sqlite_schema WHERE type = 'table' AND lower(name) = 'eol'")
    if sql is None or "without" in sql.lower() or scalar(conn, "SELECT EXISTS (SELECT 1 FROM image)"):
        return False
    return bool(scalar(conn, "SELECT coalesce(min(rowid), 1) >= 1 FROM mapping.eol"))


def insert_images(
    conn: sa.Connection,
    sources: Mapping[str, int],
    roots: Mapping[str, Path],
    counts: Mapping[str, int],
    on_rows: Callable[[int], None],
) -> list[SourceRows]:
    """Insert all images of a mapping, where :func:`is_first` says so.

    Args:
        conn: a write transaction with the mapping attached, and labels in place.
        sources: key → id in the table ``source``.
        roots: key → folder of the source, where it is known.
        counts: table of the mapping → its rows.
        on_rows: told of each number of rows that is in.

    Raises:
        sqlite3.IntegrityError: an id is none, or stands twice.
    """
    taken = []
    with without_indexes(conn, "image"), without_indexes(conn, "eol_image"):
        for table in SOURCES:
            source, before = sources[table.name], scalar(conn, "SELECT coalesce(max(id), 0) FROM image")
            if table.name == "eol":
                _insert_eol(conn, source)
            else:
                _insert_files(conn, table, source, roots.get(table.name))
            labelled = scalar(conn, "SELECT count(label_id) FROM image WHERE id > ?", (before,))
            taken.append(SourceRows(table.name, counts[table.name], counts[table.name], 0, labelled))
            on_rows(counts[table.name])
    return taken


def _insert_eol(conn: sa.Connection, source: int) -> None:
    changes(conn, "CREATE TEMP TABLE page_label (page_id INTEGER PRIMARY KEY, label_id INTEGER)")
    changes(conn, _PAGE_LABELS, (source,))
    changes(conn, _EOL, (source,))
    changes(conn, "DROP TABLE temp.page_label")
    changes(conn, _EOL_KEYS)


def _insert_files(conn: sa.Connection, table: Table, source: int, root: Path | None) -> None:
    with folders_of(conn, table, source, root) as words:
        label = _BY_ID_OR_FILE
        if table.name == "inat21":
            changes(conn, "ALTER TABLE temp.folder ADD COLUMN label_id INTEGER")
            changes(conn, _CLASS_LABELS, (source,))
            label = "f.label_id"
        changes(conn, _FILES.format(**words, label=label), (source,))
