"""Containers as the database knows them, and which of them lie on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tol_db.db.bulk import changes, query, scalar
from tol_db.ingest.claims import folder_in_id, raw_id
from tol_db.ingest.layout import Found
from tol_db.ingest.matching import forget


@dataclass(frozen=True, slots=True)
class Known:
    """A row of the table ``container``.

    Attributes:
        was_scanned: a scan was recorded once, whatever the state is now.
        size, mtime_ns, digest: of that scan; the digest is None where the archive was damaged.
    """

    id: int
    path: str
    state: str
    detail: str | None
    was_scanned: bool
    size: int | None
    mtime_ns: int | None
    digest: bytes | None
    group_number: int | None
    group_name: str | None
    seek_index: bytes | None


def load_known(conn: sa.Connection, source: int) -> list[Known]:
    """The containers of a source, in the order in which they were recorded."""
    rows = query(
        conn,
        """SELECT id, path, state, detail, scanned_at IS NOT NULL, bytes, mtime_ns, digest,
                  group_number, group_name, seek_index
           FROM container WHERE source_id = ? ORDER BY id""",
        (source,),
    )
    return [Known(*row) for row in rows]


def has_images(conn: sa.Connection, key: str) -> bool:
    """Whether there is an image row of the source; told without reading ten million rows."""
    if key == "eol":
        return bool(scalar(conn, "SELECT EXISTS (SELECT 1 FROM eol_image)"))
    return bool(
        scalar(
            conn,
            """SELECT EXISTS (SELECT 1 FROM source s JOIN container c ON c.source_id = s.id
                              JOIN image i ON i.container_id = c.id WHERE s.key = ?)""",
            (key,),
        )
    )


def are_raw(conn: sa.Connection, key: str) -> bool:
    """Whether the image rows of a source were made from its files, without a mapping.

    One row tells: its id is the one that follows from its names.
    """
    if key == "eol":
        sql = """SELECT i.treeoflife_id, e.content_id, e.page_id
                 FROM eol_image e JOIN image i ON i.id = e.image_id LIMIT 1"""
        return any(raw_id(key, str(content), str(page)) == id for id, content, page in query(conn, sql))
    sql = """SELECT i.treeoflife_id, c.path, c.group_number, i.member
             FROM source s JOIN container c ON c.source_id = s.id JOIN image i ON i.container_id = c.id
             WHERE s.key = ? LIMIT 1"""
    return any(
        raw_id(key, folder_in_id(key, path, number), member or "") == id
        for id, path, number, member in query(conn, sql, (key,))
    )


def identify(containers: Sequence[Found], known: Sequence[Known]) -> dict[str, Known]:
    """Path on disk → its row, for those that have one.

    A folder whose path is not known takes the row of the same class or part if that row's own folder is not
    there: a mapping names classes and parts, and trees lie with or without ``train/``.
    """
    rows = {row.path: row for row in known}
    pairs = {found.path: rows[found.path] for found in containers if found.path in rows}
    left = {
        (row.group_number, row.group_name): row
        for row in known
        if row.path not in pairs and row.group_number is not None
    }
    for found in containers:
        if found.path not in pairs and found.group_number is not None:
            row = left.pop((found.group_number, found.group_name), None)
            if row is not None:
                pairs[found.path] = row
    return pairs


def mark_missing(conn: sa.Connection, key: str, known: Sequence[Known], on_disk: Mapping[str, Known]) -> int:
    """Write down which containers are not on disk (any more); their images have no file.

    Returns:
        How many were not missing before.
    """
    there = {row.id for row in on_disk.values()}
    gone = [row for row in known if row.id not in there and row.state != "missing"]
    for row in gone:
        forget(conn, key, row.id)
        changes(conn, "UPDATE container SET state = 'missing' WHERE id = ?", (row.id,))
    return len(gone)


def place(conn: sa.Connection, source: int, found: Found, known: Known | None) -> int:
    """The id of a container's row, which is made, or moved to where the container lies now."""
    if known is not None:
        changes(conn, "UPDATE container SET path = ?, kind = ? WHERE id = ?", (found.path, found.kind, known.id))
        return known.id
    changes(
        conn,
        """INSERT INTO container (source_id, kind, path, group_number, group_name, state)
           VALUES (?, ?, ?, ?, ?, 'expected')
           ON CONFLICT (source_id, path) DO NOTHING""",  # another process may have been quicker
        (source, found.kind, found.path, found.group_number, found.group_name),
    )
    container: int = scalar(conn, "SELECT id FROM container WHERE source_id = ? AND path = ?", (source, found.path))
    return container


def missing_paths(conn: sa.Connection, source: int) -> tuple[str, ...]:
    """Containers that are not on disk, by path."""
    sql = "SELECT path FROM container WHERE source_id = ? AND state = 'missing' ORDER BY path"
    return tuple(row[0] for row in query(conn, sql, (source,)))


def count_strays(conn: sa.Connection, source: int) -> int:
    """Files of a source that no image row claims."""
    found: int = scalar(
        conn,
        """SELECT count(*) FROM container c JOIN stray_member s ON s.container_id = c.id
           WHERE c.source_id = ?""",
        (source,),
    )
    return found


def rows_without_file(conn: sa.Connection) -> dict[str, int]:
    """Source key → its image rows that no scan has found a file for; reads every image row once."""
    rows = query(
        conn,
        """SELECT s.key, n.number
           FROM (SELECT source_id, count(*) AS number FROM image WHERE member_index IS NULL
                 GROUP BY source_id) AS n
           JOIN source s ON s.id = n.source_id""",
    )
    return dict(rows)
