"""Image rows from the tables of an attached mapping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tol_db.db.bulk import changes, insert_many, query, scalar
from tol_db.errors import UsageError
from tol_db.ingest.known_containers import are_raw, has_images
from tol_db.ingest.layout import discover
from tol_db.ingest.mapping_tables import ID, SOURCES, Table
from tol_db.ingest.matching import claimed_strays


@dataclass(frozen=True, slots=True)
class SourceRows:
    """What a mapping says of one source.

    Attributes:
        key: of the source.
        read: rows of the mapping.
        new, changed: of these, images that were not there, or had other keys.
        labelled: images that got their labels with their rows; None: labels are still to be given.
    """

    key: str
    read: int
    new: int
    changed: int
    labelled: int | None = None


@dataclass(frozen=True, slots=True)
class Folders:
    """How a table of the mapping names folders.

    Attributes:
        number: column of the class or part number.
        name: SQL of the class name, '' where there is none.
        path: of a folder that is not on disk, formatted with number and name.
    """

    number: str
    name: str
    path: str


FOLDERS = {
    "inat21": Folders("cls_num", "cls_name", "train/{0:05d}_{1}"),
    "bioscan": Folders("part", "''", "part{0}"),
}

# content_id >= 0 holds for every row; it keeps SQLite from reading the ids in the order of their index.
# A row whose source changes leaves all that was known of its place.
_UPSERT_EOL = f"""
INSERT INTO image (treeoflife_id, source_id)
SELECT id_blob(m.{ID}), ?1 FROM mapping.eol m
WHERE m.content_id >= 0
ON CONFLICT (treeoflife_id) DO UPDATE SET
    source_id = excluded.source_id, container_id = NULL, member = NULL,
    member_index = NULL, data_offset = NULL, bytes = NULL
WHERE source_id <> excluded.source_id"""  # noqa: S608

_UPSERT_EOL_KEYS = f"""
INSERT INTO eol_image (image_id, content_id, page_id)
SELECT i.id, m.content_id, m.page_id
FROM mapping.eol m CROSS JOIN image i ON i.treeoflife_id = id_blob(m.{ID})
WHERE true
ON CONFLICT (image_id) DO UPDATE SET content_id = excluded.content_id, page_id = excluded.page_id
WHERE content_id <> excluded.content_id OR page_id <> excluded.page_id"""  # noqa: S608

_UPSERT_FILES = f"""
INSERT INTO image (treeoflife_id, source_id, container_id, member)
SELECT id_blob(m.{ID}), ?1, f.container_id, m.filename
FROM mapping.{{table}} m CROSS JOIN temp.folder f ON f.number = m.{{number}} AND f.name = {{name}}
WHERE true
ON CONFLICT (treeoflife_id) DO UPDATE SET
    source_id = excluded.source_id, container_id = excluded.container_id, member = excluded.member,
    member_index = NULL, data_offset = NULL, bytes = NULL
WHERE source_id <> excluded.source_id OR container_id IS NOT excluded.container_id
   OR member IS NOT excluded.member"""  # noqa: S608

# containers that hold files of images which the mapping now puts elsewhere: those files are strays
_LEFT_FOR_EOL = f"""
UPDATE container SET state = 'expected'
WHERE state IN ('scanned', 'damaged') AND id IN (
    SELECT i.container_id FROM mapping.eol m CROSS JOIN image i ON i.treeoflife_id = id_blob(m.{ID})
    WHERE i.member_index IS NOT NULL AND i.source_id <> ?)"""  # noqa: S608

_LEFT = f"""
UPDATE container SET state = 'expected'
WHERE state IN ('scanned', 'damaged') AND id IN (
    SELECT i.container_id
    FROM mapping.{{table}} m CROSS JOIN temp.folder f ON f.number = m.{{number}} AND f.name = {{name}}
    CROSS JOIN image i ON i.treeoflife_id = id_blob(m.{ID})
    WHERE i.member_index IS NOT NULL
      AND (i.container_id IS NOT f.container_id OR i.member IS NOT m.filename))"""  # noqa: S608


def require_mapped(conn: sa.Connection, key: str) -> None:
    """Raises: UsageError, where the source's images were made from raw folders: they would be there twice."""
    if are_raw(conn, key):
        raise UsageError(
            f"the images of {key} were made from raw folders (`tol-db ingest {key}`), with ids of their own",
            hint="use a new database for the mapping: `tol-db --db OTHER init`",
        )


def take_images(conn: sa.Connection, table: Table, source: int, root: Path | None, read: int) -> SourceRows:
    """Insert the rows of a source that are new and update those whose keys changed.

    Args:
        conn: a write transaction with the mapping attached.
        table: of the mapping.
        source: id in the table ``source``.
        root: folder of the source, where it is known.
        read: rows of the table.
    """
    had_images = has_images(conn, table.name)
    images = _count(conn, "image")
    if table.name == "eol":
        touched, changed = _upsert_eol(conn, source)
    else:
        touched, changed = _take_files(conn, table, source, root, had_images), 0
    new = _count(conn, "image") - images
    changed += touched - new
    if had_images and new + changed:
        _expect_again(conn, table.name, source)
    return SourceRows(table.name, read, new, changed)


def _upsert_eol(conn: sa.Connection, source: int) -> tuple[int, int]:
    """(rows inserted or moved from another source, rows whose keys changed)"""
    changes(conn, _LEFT_FOR_EOL, (source,))
    touched = changes(conn, _UPSERT_EOL, (source,))
    keys = _count(conn, "eol_image")
    return touched, changes(conn, _UPSERT_EOL_KEYS) - (_count(conn, "eol_image") - keys)


def drop_keys_of_others(conn: sa.Connection, eol: int) -> None:
    """An image that has moved from EOL to another source has no keys of EOL any more."""
    changes(
        conn,
        """DELETE FROM eol_image WHERE image_id IN (
               SELECT e.image_id FROM eol_image e JOIN image i ON i.id = e.image_id WHERE i.source_id <> ?)""",
        (eol,),
    )


def images_in_mapping(conn: sa.Connection) -> int:
    """How many images the ids of the mapping are; fewer than its rows where an id stands twice."""
    changes(conn, "CREATE TEMP TABLE seen (image_id INTEGER PRIMARY KEY)")
    for table in SOURCES:
        changes(
            conn,
            f"""INSERT OR IGNORE INTO temp.seen SELECT i.id FROM mapping.{table.name} m
                CROSS JOIN image i ON i.treeoflife_id = id_blob(m.{ID})""",  # noqa: S608
        )
    found = _count(conn, "temp.seen")
    changes(conn, "DROP TABLE temp.seen")
    return found


def _take_files(conn: sa.Connection, table: Table, source: int, root: Path | None, had_images: bool) -> int:
    with folders_of(conn, table, source, root) as words:
        if had_images:
            changes(conn, _LEFT.format(**words))
        return changes(conn, _UPSERT_FILES.format(**words), (source,))


@contextmanager
def folders_of(conn: sa.Connection, table: Table, source: int, root: Path | None) -> Iterator[dict[str, str]]:
    """The folders that a table of the mapping names, in ``temp.folder`` (number, name, container_id).

    Containers are made for those that have none. Yields the words ``table``, ``number`` and ``name`` (columns of
    the mapping, ``m``) for statements that join to them.
    """
    columns = FOLDERS[table.name]
    words = {"table": table.name, "number": columns.number}
    words["name"] = f"m.{columns.name}" if columns.name != "''" else columns.name
    changes(
        conn,
        """CREATE TEMP TABLE folder (number INTEGER, name TEXT, container_id INTEGER,
                                     PRIMARY KEY (number, name)) WITHOUT ROWID""",
    )
    changes(
        conn,
        f"""INSERT INTO temp.folder (number, name)
            SELECT DISTINCT {columns.number}, {columns.name} FROM mapping.{table.name}""",  # noqa: S608
    )
    _find_containers(conn, source)
    insert_many(
        conn,
        """INSERT INTO container (source_id, kind, path, group_number, group_name, state)
           VALUES (?, 'directory', ?, ?, ?, 'expected')""",
        _new_containers(conn, table.name, source, root),
    )
    _find_containers(conn, source)
    yield words
    changes(conn, "DROP TABLE temp.folder")


def _find_containers(conn: sa.Connection, source: int) -> None:
    changes(
        conn,
        """UPDATE temp.folder SET container_id = c.id
           FROM (SELECT min(id) AS id, group_number, coalesce(group_name, '') AS group_name
                 FROM container WHERE source_id = ? GROUP BY 2, 3) AS c
           WHERE c.group_number = folder.number AND c.group_name = folder.name""",
        (source,),
    )


def _new_containers(
    conn: sa.Connection, key: str, source: int, root: Path | None
) -> Iterator[tuple[int, str, int, str | None]]:
    on_disk: dict[tuple[int | None, str], str] = {}
    if root is not None and root.is_dir():
        for found in discover(key, root).containers:
            on_disk.setdefault((found.group_number, found.group_name or ""), found.path)
    rows = list(query(conn, "SELECT number, name FROM temp.folder WHERE container_id IS NULL"))
    for number, name in rows:
        path = on_disk.get((number, name)) or FOLDERS[key].path.format(number, name)
        yield source, path, number, name or None


def _expect_again(conn: sa.Connection, key: str, source: int) -> None:
    """Let the next scan read the containers with strays that the new rows claim."""
    for container in claimed_strays(conn, key, source):
        changes(conn, "UPDATE container SET state = 'expected' WHERE id = ?", (container,))


def _count(conn: sa.Connection, table: str) -> int:
    found: int = scalar(conn, f"SELECT count(*) FROM {table}")  # noqa: S608
    return found
